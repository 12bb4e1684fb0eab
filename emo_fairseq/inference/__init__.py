"""From a trained model to answers about recordings and texts that no corpus holds."""
