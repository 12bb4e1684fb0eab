"""From a predictions file to figures for people. Nothing in the package imports this."""
