"""Features on disk: what extracts them, and the layouts that they are read from."""
