"""What joining data dirs is made of."""
