"""Batches made up for a model: what its graph is traced with and compared on.

The content is noise. What matters to a graph is the shape: short and long rows, one and several,
rows with padding, and rows that lack a modality.
"""

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from data_prep.features.log_mel import N_MELS
from emo_fairseq.data.collate import pad_right
from emo_fairseq.data.waveform import MIN_SAMPLES
from emo_fairseq.types import (
    LOG_MEL,
    TOKENS,
    WAVEFORM,
)

Batch = dict[str, dict[str, Tensor]]

_MOST_TOKENS, _MOST_FRAMES, _MOST_SAMPLES = 48, 240, 24_000  # of a row
_FEW_FRAMES = 8  # more than the convolutions over frames reach


def make_batch(
    task: Any,
    lengths: Sequence[float],
    generator: torch.Generator,
    absent: Collection[tuple[int, str]] = (),
) -> Batch:
    """A batch of noise as the leaves of a task would collate it.

    Args:
        task: knows modalities, encoders and vocabularies.
        lengths: of each of the B rows, from 0 (the shortest that there is) to 1.
        generator: of the noise.
        absent: (row, modality) that are not there.
    """
    batch = {}
    for modality in task.modalities:
        kind = task.encoder_cards()[modality].input
        rows = [_row(task, modality, kind, share, generator) for share in lengths]
        present = [(number, modality) not in absent for number in range(len(rows))]
        batch[modality] = _collate(task, modality, kind, rows, present)
    return batch


def placeholder(task: Any, modality: str) -> dict[str, Tensor]:
    """What stands for a modality that no row of a batch has: one row, not present."""
    kind = task.encoder_cards()[modality].input
    row = _row(task, modality, kind, 0.0, torch.Generator().manual_seed(0))
    return _collate(task, modality, kind, [row], [False])


def check_batches(task: Any, n_batches: int, seed: int = 1) -> list[Batch]:
    """Batches of one row and of several, of the shortest, the longest and other lengths.

    In every third batch the first row lacks a modality, if there are several.
    """
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for number in range(n_batches):
        n_rows = (1, 3, 2, 5)[number % 4]
        lengths = torch.rand(n_rows, generator=generator).tolist()
        lengths[0] = (0.0, 1.0, 0.5)[number % 3]
        several = len(task.modalities) > 1 and number % 3 == 2
        left_out = task.modalities[number // 3 % len(task.modalities)]
        absent = {(0, left_out)} if several else ()
        batches.append(make_batch(task, lengths, generator, absent))
    return batches


def _row(task: Any, modality: str, kind: str, share: float, generator: torch.Generator) -> Tensor:
    """One item: ids (T,), samples (T,) or frames (T, C); `share` of the way to the longest."""

    def between(shortest: int, longest: int) -> int:
        return shortest + round(share * max(0, longest - shortest))

    if kind == TOKENS:
        vocabulary = task.vocabularies()[modality]
        special = vocabulary.specials
        n_words = between(1, min(task.source.max_tokens(modality), _MOST_TOKENS) - 2)
        words = torch.randint(vocabulary.size, (n_words,), generator=generator)
        words[words == special.pad] = special.unknown
        ends = torch.tensor([special.init]), torch.tensor([special.separator])
        return torch.cat([ends[0], words, ends[1]])
    if kind == WAVEFORM:
        return torch.randn(between(MIN_SAMPLES, _MOST_SAMPLES), generator=generator) * 0.1
    width = N_MELS if kind == LOG_MEL else len(task.frame_statistics(modality).mean)
    return torch.randn(between(_FEW_FRAMES, _MOST_FRAMES), width, generator=generator)


def _collate(
    task: Any, modality: str, kind: str, rows: Sequence[Tensor], present: Sequence[bool]
) -> dict[str, Tensor]:
    name = {TOKENS: "tokens", WAVEFORM: "waveform"}.get(kind, "frames")
    pad = task.vocabularies()[modality].specials.pad if kind == TOKENS else 0.0
    items, padding_mask = pad_right(rows, pad)
    return {name: items, "padding_mask": padding_mask, "present": torch.tensor(present)}
