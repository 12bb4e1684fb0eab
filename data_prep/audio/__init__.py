"""Audio: files to samples, samples to frames, and how long they are."""
