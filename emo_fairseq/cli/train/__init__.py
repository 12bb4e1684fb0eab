"""``emotion-recognize train``: from any source to a trained, scored and reported model."""
