"""Describe, build and load pretrained encoders of every family."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from data_prep.errors import CodedError
from emo_fairseq.compat.size_limits import (
    build_within,
    check_sizes,
)
from emo_fairseq.encoder_spec import DEFAULT_WHISPER_PADDING, EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import PIXELS, TEXT, TOKENS, VIDEO, WAVEFORM
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
from emo_fairseq.pretrained.hf_video import build_hf_video, describe_hf_video, load_hf_video
from emo_fairseq.pretrained.weights import check_unchanged


class _Family(NamedTuple):
    build: Callable[[EncoderSpec], Any]
    load: Callable[[Any, EncoderSpec], None]
    digest: Callable[[str], str]  # of the weights of a source


def describe(
    modality: str, spec: str, whisper_padding: str = DEFAULT_WHISPER_PADDING
) -> EncoderSpec:
    """Describe a pretrained encoder from its configuration; its weights are only hashed.

    Args:
        modality: the modality that it will encode.
        spec: ``hf:FOLDER_OR_NAME`` or ``fairseq:CHECKPOINT``.
        whisper_padding: of a Whisper, one of :data:`emo_fairseq.encoder_spec.WHISPER_PADDINGS`.

    Raises:
        UsageError: there is no such model, or it does not encode this modality.
    """
    kind, _, source = spec.partition(":")
    if kind == "hf":
        if modality == TEXT:
            return describe_hf_text(source)
        if modality == VIDEO:
            return describe_hf_video(source)
        return describe_hf_audio(source).with_whisper_padding(whisper_padding)
    if modality == VIDEO:
        raise UsageError(
            f"--video-encoder {spec}: fairseq has no encoders of video; give hf:FOLDER or "
            "features:NAME",
            "encoder-modality",
        )
    encoder_spec = describe_fairseq(source, modality)
    check_sizes(encoder_spec.architecture, f"{spec}: ", "fetch the checkpoint again")
    if modality == TEXT and encoder_spec.input != TOKENS:
        raise UsageError(
            f"--text-encoder {spec}: this model encodes {encoder_spec.input}, not text",
            "encoder-modality",
        )
    return encoder_spec


# Errors of the libraries for a configuration whose sizes contradict each other.
_CONFIGURATION_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


def build(encoder_spec: EncoderSpec) -> Encoder:
    """Build an encoder with random weights, without access to its files.

    Raises:
        UsageError: the configuration is contradictory, or its sizes exceed the limits.
    """
    try:
        with build_within(None, encoder_spec.spec, "take another encoder"):
            encoder: Encoder = _family(encoder_spec).build(encoder_spec)
    except CodedError:
        raise
    except _CONFIGURATION_ERRORS as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UsageError(
            f"{encoder_spec.spec}: its configuration is invalid ({reason}); fetch its files again",
            "encoder-config-invalid",
        ) from error
    return encoder


def load(encoder: Encoder, encoder_spec: EncoderSpec) -> None:
    """Load the pretrained weights into an encoder built by :func:`build`.

    Raises:
        UsageError: the files are missing, have changed since :func:`describe`, or do not match.
    """
    family = _family(encoder_spec)
    check_unchanged(encoder_spec, family.digest(encoder_spec.source))
    family.load(encoder, encoder_spec)


_FAIRSEQ = _Family(build_fairseq, load_fairseq, checkpoint_digest)
_FAMILIES: Mapping[tuple[str, str], _Family] = {  # by kind and input
    ("hf", TOKENS): _Family(build_hf_text, load_hf_text, weights_digest),
    ("hf", WAVEFORM): _Family(build_hf_audio, load_hf_audio, weights_digest),
    ("hf", PIXELS): _Family(build_hf_video, load_hf_video, weights_digest),
    ("fairseq", TOKENS): _FAIRSEQ,
    ("fairseq", WAVEFORM): _FAIRSEQ,
}


def _family(encoder_spec: EncoderSpec) -> _Family:
    return _FAMILIES[encoder_spec.kind, encoder_spec.input]
