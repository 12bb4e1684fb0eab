"""The parts of corpora that are more than one file, and what several share."""
