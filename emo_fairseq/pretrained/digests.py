"""Digests of weights: what a card remembers of its files, and whether they are still the same."""

from pathlib import Path

from data_prep.files.digests import digest_once
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError


def weights_file_digest(file: Path) -> str:
    """SHA-256 of a file of weights. Raises a `UsageError` if it cannot be read."""
    try:
        return digest_once(file)
    except ValueError as error:
        raise UsageError(str(error)) from error


def check_unchanged(card: EncoderSpec, digest: str) -> None:
    """Raise a `UsageError` if the files, with this digest now, are not those of the card."""
    if digest != card.weights:
        raise UsageError(
            f"{card.place}: the weights there have changed since training (SHA-256 "
            f"{digest[:12]}, where {card.weights[:12]} was trained with); put the former files "
            "back there, or train anew with another --save-dir"
        )
