"""Folds of a data dir: protocols, files and checks."""
