"""Tokenizers of text and speech, and the folders of their tokens."""
