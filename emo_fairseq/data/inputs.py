"""The kinds of input: how a modality dataset of each is built.

A :class:`.data_dir.SplitReader` opens the rows; an entry of :data:`INPUT_KINDS` does the rest::

    tokens                                          -> augment
    waveforms                                       -> augment
    waveforms -> augment -> log-mel -> normalize    -> augment
    frames                          -> normalize    -> augment
    pixels                                          -> augment
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from fairseq.data import FairseqDataset

from emo_fairseq.data.audio import ComputedFrames
from emo_fairseq.data.frame_statistics import Normalization
from emo_fairseq.data.frames import NormalizedFrames
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.modalities import FRAMES, LOG_MEL, PIXELS, TOKENS, WAVEFORM

if TYPE_CHECKING:
    from emo_fairseq.data.data_dir import SplitReader

# (dataset, kind of input) -> the dataset, or one around it that changes its items.
Augment = Callable[[FairseqDataset, str], FairseqDataset]


def unchanged(dataset: FairseqDataset, kind: str) -> FairseqDataset:
    """Return the dataset itself: no augmentation."""
    return dataset


class InputKind(NamedTuple):
    """How an input is read.

    Attributes:
        open: opens the rows; the vocabulary is needed for tokens only, the augmentation is that of
            audio from which frames are computed.
        is_normalized: frames, which :mod:`emo_fairseq.data.normalization` normalizes.
    """

    open: Callable[["SplitReader", Vocabulary | None, Augment], FairseqDataset]
    is_normalized: bool


def _open_tokens(
    rows: "SplitReader", vocabulary: Vocabulary | None, augment: Augment
) -> FairseqDataset:
    if vocabulary is None:
        raise ValueError("token input needs its vocabulary")
    return rows.tokens(vocabulary.specials)


def _open_log_mel(
    rows: "SplitReader", vocabulary: Vocabulary | None, augment: Augment
) -> FairseqDataset:
    stored = rows.log_mel()
    return ComputedFrames(augment(rows.waveforms(), WAVEFORM)) if stored is None else stored


INPUT_KINDS: dict[str, InputKind] = {
    TOKENS: InputKind(_open_tokens, is_normalized=False),
    WAVEFORM: InputKind(lambda rows, vocabulary, augment: rows.waveforms(), is_normalized=False),
    LOG_MEL: InputKind(_open_log_mel, is_normalized=True),
    FRAMES: InputKind(lambda rows, vocabulary, augment: rows.frames(), is_normalized=True),
    PIXELS: InputKind(lambda rows, vocabulary, augment: rows.pixels(), is_normalized=False),
}


def build_modality_dataset(
    kind: str,
    rows: "SplitReader",
    vocabulary: Vocabulary | None,
    normalization: Normalization | None,
    augment: Augment,
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
