"""Files: their digests, and locks on folders."""
