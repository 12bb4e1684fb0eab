"""The audio of a data dir, decoded once and stored as 16-bit samples that are read by mmap."""
