"""Folds: who is apart from whom, and the files that say so."""
