"""From a checkpoint to what leaves the training."""
