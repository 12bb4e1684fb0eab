"""``emotion-recognize predict``, from its command line to the rows that it writes."""
