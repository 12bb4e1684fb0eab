"""The kinds of input: how a modality dataset of each is built, and where it is truncated.

A kind is built in one way, wherever its rows come from. A :class:`RowReader` opens them, from disk
(:mod:`emo_fairseq.data.data_dir`) or from memory (:mod:`emo_fairseq.data.in_memory`); an entry of
:data:`INPUT_KINDS` does the rest::

    tokens                                          -> augment
    waveforms                                       -> augment
    waveforms -> augment -> log-mel -> normalize    -> augment
    frames                          -> normalize    -> augment
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from fairseq.data import FairseqDataset

from data_prep.schema import SAMPLE_RATE
from data_prep.tokens.folder import SpecialIds
from emo_fairseq.data.audio import MIN_SAMPLES, ComputedFrames, WaveformDataset
from emo_fairseq.data.dialogue import ContextOptions
from emo_fairseq.data.frames import Normalization, NormalizedFrames, StoredFrames
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.types import (
    FRAMES,
    LOG_MEL,
    SPEECH,
    TEXT,
    TOKENS,
    WAVEFORM,
)

_MAX_TOKENS = {TEXT: 512, SPEECH: 2048}

# (dataset, kind of input) -> the dataset, or one around it that changes its items.
Augment = Callable[[FairseqDataset, str], FairseqDataset]


def unchanged(dataset: FairseqDataset, kind: str) -> FairseqDataset:
    """Return the dataset itself: no augmentation."""
    return dataset


class InputOptions(ContextOptions, Protocol):
    """The options of a task that limit the input."""

    max_text_tokens: int | None
    max_speech_tokens: int | None
    max_frames: int | None
    max_speech_seconds: float


class InputLimits:
    """The limits of the input that options and encoders set, wherever the rows come from.

    Args:
        cfg: the task's options.
        modalities: those that are read.

    Attributes:
        encoders: for each modality the encoder that reads it, from :meth:`set_encoders` on.
    """

    def __init__(self, cfg: InputOptions, modalities: tuple[str, ...]) -> None:
        self.cfg = cfg
        self.modalities = modalities
        self.encoders: Mapping[str, EncoderSpec] = {}

    def set_encoders(self, encoders: Mapping[str, EncoderSpec]) -> None:
        """Set which encoder reads each modality."""
        self.encoders = encoders

    def modalities_of(self, kind: str) -> list[str]:
        """Return the modalities whose encoders read this kind of input."""
        return [name for name in self.modalities if self.encoders[name].input == kind]

    def max_tokens(self, modality: str) -> int:
        """Return the length of the longest token sequence, its boundary tokens included.

        Raises:
            UsageError: the option exceeds the positions of the encoder.
        """
        positions = self.encoders[modality].max_tokens
        limit: int | None = getattr(self.cfg, f"max_{modality}_tokens")
        if limit is None:
            return min(_MAX_TOKENS[modality], positions or _MAX_TOKENS[modality])
        if positions and limit > positions:
            raise UsageError(
                f"--max-{modality}-tokens {limit}: the encoder {self.encoders[modality].spec} "
                f"has {positions} positions; give at most as many",
                "max-tokens-too-large",
            )
        return limit

    def max_samples(self) -> int:
        """Return the length of the longest audio, in samples at 16 kHz.

        Raises:
            UsageError: shorter than one window.
        """
        limit = int(self.cfg.max_speech_seconds * SAMPLE_RATE)
        if limit < MIN_SAMPLES:
            raise UsageError(
                f"--max-speech-seconds {self.cfg.max_speech_seconds:g} is shorter than one window "
                f"of {MIN_SAMPLES / SAMPLE_RATE:g} seconds",
                "max-seconds-too-small",
            )
        return limit


class RowReader(Protocol):
    """Opens the rows of one modality."""

    def tokens(self, specials: SpecialIds) -> FairseqDataset:
        """Open their tokens."""

    def waveforms(self) -> WaveformDataset:
        """Open their audio."""

    def log_mel(self) -> StoredFrames | None:
        """Open their log-mel frames, where these are stored; None = compute them from the audio."""

    def frames(self) -> StoredFrames:
        """Open their features."""


class InputKind(NamedTuple):
    """How an input is read.

    Attributes:
        open: opens the rows; the vocabulary is needed for tokens only, the augmentation is that of
            audio from which frames are computed.
        is_normalized: frames, which :mod:`emo_fairseq.data.normalization` normalizes.
    """

    open: Callable[[RowReader, Vocabulary | None, Augment], FairseqDataset]
    is_normalized: bool


def _open_tokens(
    rows: RowReader, vocabulary: Vocabulary | None, augment: Augment
) -> FairseqDataset:
    if vocabulary is None:
        raise ValueError("token input needs its vocabulary")
    return rows.tokens(vocabulary.specials)


def _open_log_mel(
    rows: RowReader, vocabulary: Vocabulary | None, augment: Augment
) -> FairseqDataset:
    stored = rows.log_mel()
    return ComputedFrames(augment(rows.waveforms(), WAVEFORM)) if stored is None else stored


INPUT_KINDS: dict[str, InputKind] = {
    TOKENS: InputKind(_open_tokens, is_normalized=False),
    WAVEFORM: InputKind(lambda rows, vocabulary, augment: rows.waveforms(), is_normalized=False),
    LOG_MEL: InputKind(_open_log_mel, is_normalized=True),
    FRAMES: InputKind(lambda rows, vocabulary, augment: rows.frames(), is_normalized=True),
}


def build_modality_dataset(
    kind: str,
    rows: RowReader,
    vocabulary: Vocabulary | None = None,
    normalization: Normalization | None = None,
    augment: Augment = unchanged,
) -> FairseqDataset:
    """Build the dataset of one modality.

    Args:
        kind: a name of :data:`INPUT_KINDS`.
        rows: opens the rows.
        vocabulary: needed for tokens only.
        normalization: of the rows; needed for log-mel and other frames only.
        augment: wraps the dataset, and the waveforms from which log-mel frames are computed.
    """
    dataset = INPUT_KINDS[kind].open(rows, vocabulary, augment)
    if INPUT_KINDS[kind].is_normalized:
        if normalization is None:
            raise ValueError("frames need the statistics that normalize them")
        dataset = NormalizedFrames(dataset, normalization)
    return augment(dataset, kind)
