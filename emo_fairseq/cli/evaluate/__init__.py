"""``emotion-recognize evaluate``, from its command line to the metrics that it prints."""
