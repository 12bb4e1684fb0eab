"""Building blocks. They receive built parts and numbers, never a configuration."""
