"""A page and a JSON API in front of one predictor: ``emotion-recognize serve MODEL_FOLDER``."""
