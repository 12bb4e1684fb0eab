"""VAD prototypes: fitted, checked, and kept in a file."""
