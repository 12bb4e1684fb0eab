"""Neural network modules, built from parts and numbers rather than from a configuration."""
