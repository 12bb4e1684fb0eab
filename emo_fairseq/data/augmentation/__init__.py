"""Changes of the train split's leaves, drawn anew for every row in every epoch."""
