"""What is added to the primary loss in training: a module for each term, and their registry."""
