"""A page and a JSON API in front of one recogniser: ``emotion-recognize serve MODEL_FOLDER``."""
