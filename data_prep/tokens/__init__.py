"""Tokens on disk: tokenizers of text and speech, and the folders that they fill."""
