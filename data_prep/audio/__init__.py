"""Audio: decode files to samples, compute frames, measure lengths, write FLAC."""
