"""The kinds of pretrained encoders in one table: to describe, to build, to load."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from data_prep.errors import ManifestError
from emo_fairseq.compat.size_limits import (
    build_within,
    check_sizes,
)
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.pretrained.fairseq_checkpoints import (
    build_fairseq,
    describe_fairseq,
    load_fairseq,
)
from emo_fairseq.pretrained.fairseq_files import checkpoint_digest
from emo_fairseq.pretrained.hf_audio import build_hf_audio, describe_hf_audio, load_hf_audio
from emo_fairseq.pretrained.hf_files import weights_digest
from emo_fairseq.pretrained.hf_text import build_hf_text, describe_hf_text, load_hf_text
from emo_fairseq.pretrained.weights import check_unchanged
from emo_fairseq.types import TEXT, TOKENS


class _Family(NamedTuple):
    build: Callable[[EncoderSpec], Any]
    load: Callable[[Any, EncoderSpec], None]
    digest: Callable[[str], str]  # of the weights in a place


def describe(modality: str, spec: str) -> EncoderSpec:
    """The card of ``hf:...`` or ``fairseq:...``; reads configuration and digests.

    Raises:
        UsageError: there is no such model, or it does not read this modality.
    """
    kind, _, place = spec.partition(":")
    if kind == "hf":
        return describe_hf_text(place) if modality == TEXT else describe_hf_audio(place)
    card = describe_fairseq(place, modality)
    check_sizes(card.architecture, f"{spec}: ", "fetch the checkpoint again")
    if modality == TEXT and card.input != TOKENS:
        raise UsageError(
            f"--text-encoder {spec}: this model reads {card.input}, not text", "encoder-modality"
        )
    return card


# What the libraries raise, or assert, of sizes in a configuration that do not fit each other.
_CONFIGURATION_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


def build(card: EncoderSpec) -> Encoder:
    """Build the encoder with random weights; needs none of the files.

    Raises:
        UsageError: its configuration is contradictory, or claims absurd sizes.
    """
    try:
        with build_within(None, card.spec, "take another encoder"):
            encoder: Encoder = _family(card).build(card)
    except (UsageError, ManifestError):
        raise
    except _CONFIGURATION_ERRORS as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UsageError(
            f"{card.spec}: its configuration makes no encoder ({reason}); fetch its files again",
            "encoder-config-invalid",
        ) from error
    return encoder


def load(encoder: Encoder, card: EncoderSpec) -> None:
    """Put the pretrained weights into an encoder that :func:`build` made.

    Raises:
        UsageError: the files are gone, are no longer those of the card, or do not fit.
    """
    family = _family(card)
    check_unchanged(card, family.digest(card.source))
    family.load(encoder, card)


_FAIRSEQ = _Family(build_fairseq, load_fairseq, checkpoint_digest)
_FAMILIES: Mapping[tuple[str, bool], _Family] = {  # by kind, and whether it reads tokens
    ("hf", True): _Family(build_hf_text, load_hf_text, weights_digest),
    ("hf", False): _Family(build_hf_audio, load_hf_audio, weights_digest),
    ("fairseq", True): _FAIRSEQ,
    ("fairseq", False): _FAIRSEQ,
}


def _family(card: EncoderSpec) -> _Family:
    return _FAMILIES[card.kind, card.input == TOKENS]
