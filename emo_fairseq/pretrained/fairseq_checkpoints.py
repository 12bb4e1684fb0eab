"""Encoders ``fairseq:CHECKPOINT``: the families, and how their checkpoints are loaded."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data_prep.schema import SAMPLE_RATE
from data_prep.tokens.folder import DICT_FILE
from emo_fairseq.data.vocabulary import read_dictionary
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import TEXT, TOKENS, WAVEFORM
from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.pretrained import (
    fairseq_data2vec2,
    fairseq_roberta,
    fairseq_wav2vec,
    fairseq_wav2vec2,
)
from emo_fairseq.pretrained.fairseq_files import (
    FairseqCheckpoint,
    checkpoint_digest,
    find_checkpoint,
    read_checkpoint,
)
from emo_fairseq.pretrained.weights import (
    load_exactly,
    log_not_taken,
)


class _Family(NamedTuple):
    input: str
    architecture: Callable[[FairseqCheckpoint], dict[str, Any]]
    build: Callable[[Mapping[str, Any]], Encoder]
    weights: Callable[[FairseqCheckpoint, Encoder], dict[str, Any]]
    not_taken: Sequence[str]


def _family(input_kind: str, module: Any) -> _Family:
    return _Family(input_kind, module.architecture, module.build, module.weights, module.NOT_TAKEN)


_FAMILIES: Mapping[str, _Family] = {
    "roberta": _family(TOKENS, fairseq_roberta),
    "wav2vec": _family(WAVEFORM, fairseq_wav2vec),
    "wav2vec2": _family(WAVEFORM, fairseq_wav2vec2),
    "data2vec2": _family(WAVEFORM, fairseq_data2vec2),
}
_FAMILY_OF: Mapping[str, str] = {  # by fairseq's name of the model
    **dict.fromkeys(("roberta", "xlmr", "camembert", "gottbert"), "roberta"),
    "wav2vec": "wav2vec",
    **dict.fromkeys(("wav2vec2", "hubert", "data2vec_audio"), "wav2vec2"),
    "data2vec_multi": "data2vec2",  # data2vec 2.0, emotion2vec
}


def describe_fairseq(path: str | Path, modality: str) -> EncoderSpec:
    """Describe a checkpoint, or a folder with ``model.pt`` and optionally ``dict.txt``.

    Raises:
        UsageError: there is no checkpoint, its model is not supported or does not encode this
            modality, or its dictionary does not match.
    """
    checkpoint = read_checkpoint(path)
    name = _FAMILY_OF.get(checkpoint.model)
    if name is None:
        raise UsageError(
            f"{checkpoint.file}: the model {checkpoint.model} is not supported; give a checkpoint "
            f"of {', '.join(_FAMILY_OF)}",
            "encoder-unsupported",
        )
    family = _FAMILIES[name]
    if family.input == WAVEFORM:
        _check_reads_speech(checkpoint, modality)
    architecture = {"family": name, **family.architecture(checkpoint)}
    vocabulary_size = architecture.get("vocabulary_size", 0)
    return EncoderSpec(
        spec=f"fairseq:{path}",
        input=family.input,
        architecture=architecture,
        weights=checkpoint_digest(path),
        vocabulary_size=vocabulary_size,
        vocabulary_digest=_digest_beside(checkpoint.file, vocabulary_size),
        max_tokens=architecture.get("max_tokens", 0),
    )


def build_fairseq(encoder_spec: EncoderSpec) -> Encoder:
    """Build the encoder with random weights, without the checkpoint."""
    settings = dict(encoder_spec.architecture)
    return _FAMILIES[settings.pop("family")].build(settings)


def load_fairseq(encoder: Encoder, encoder_spec: EncoderSpec) -> None:
    """Load the pretrained weights into an encoder built by :func:`build_fairseq`.

    Raises:
        UsageError: the checkpoint is missing or does not match.
    """
    family = _FAMILIES[encoder_spec.architecture["family"]]
    checkpoint = read_checkpoint(encoder_spec.source)
    log_not_taken(encoder_spec.spec, checkpoint.others)
    load_exactly(encoder, family.weights(checkpoint, encoder), family.not_taken, encoder_spec.spec)


def _check_reads_speech(checkpoint: FairseqCheckpoint, modality: str) -> None:
    if modality == TEXT:
        raise UsageError(
            f"{checkpoint.file}: {checkpoint.model} encodes speech, not text; use it as "
            "--speech-encoder",
            "encoder-modality",
        )
    rate = checkpoint.task.get("sample_rate", SAMPLE_RATE)
    if rate != SAMPLE_RATE:
        raise UsageError(
            f"{checkpoint.file}: expects speech at {rate} Hz, not at {SAMPLE_RATE}; "
            "give another checkpoint",
            "encoder-sample-rate",
        )


def _digest_beside(file: Path, vocabulary_size: int) -> str:
    """Return the digest of the dictionary next to a checkpoint; empty if there is none."""
    dictionary_file = find_checkpoint(file).parent / DICT_FILE
    if not vocabulary_size or not dictionary_file.exists():
        return ""
    vocabulary = read_dictionary(dictionary_file)
    if vocabulary.size > vocabulary_size:
        raise UsageError(
            f"{dictionary_file}: {vocabulary.size} symbols, but {file.name} has {vocabulary_size}; "
            "put the checkpoint's own dictionary there",
            "vocabulary-mismatch",
        )
    return vocabulary.digest
