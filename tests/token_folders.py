"""The folder of the only tokens of a modality in a data dir."""

from pathlib import Path

from data_prep.tokens.token_sets import token_sets


def tokens_of(data_dir: Path, modality: str = "text") -> Path:
    """Return the folder of the only token set; fails where there are none, or several."""
    (tokens,) = token_sets(data_dir, modality)
    return tokens.folder
