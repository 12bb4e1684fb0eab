"""Checks of options: ranges, combinations, and options that would have no effect."""
