"""What is added to the primary loss in training, one term a file."""
