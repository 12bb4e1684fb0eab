"""Options that would do nothing on the model at hand: rules, and the check that applies them."""
