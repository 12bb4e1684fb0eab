"""Made-up batches, to trace a graph with and to compare it on.

The content is noise. What matters to a graph is the shape: short and long rows, one and several,
rows with padding, and rows that lack a modality.
"""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from data_prep.features.log_mel import N_MELS
from emo_fairseq.data.input_limits import MIN_SAMPLES
from emo_fairseq.data.modality_dataset import pad_right
from emo_fairseq.inference.graph_inputs import TENSOR_OF
from emo_fairseq.inference.onnx_model import FEW_FRAMES
from emo_fairseq.modalities import LOG_MEL, PIXELS, TOKENS, WAVEFORM
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.task_state import TaskState

Batch = dict[str, dict[str, Tensor]]
Check = tuple[Batch, dict[str, Tensor] | None]

_MOST_TOKENS, _MOST_FRAMES, _MOST_SAMPLES = 48, 240, 40_000  # of a row
_CLIP = 8  # pictures, where an encoder reads single ones
_LONG = 40  # turns, beyond the distances that have biases of their own


def make_batch(
    state: TaskState,
    lengths: Sequence[float],
    generator: torch.Generator,
    absent: Collection[tuple[int, str]] = (),
) -> Batch:
    """Make a batch of noise, collated as the model's datasets do.

    Args:
        state: modalities, encoders and vocabularies of the model.
        lengths: of each of the B rows, from 0 (the shortest that there is) to 1.
        generator: of the noise.
        absent: (row, modality) that are missing.
    """
    batch = {}
    for modality in state.modalities:
        kind = state.encoders[modality].input
        rows = [_row(state, modality, kind, share, generator) for share in lengths]
        present = [(number, modality) not in absent for number in range(len(rows))]
        batch[modality] = _collate(state, modality, kind, rows, present)
    return batch


def _make_batches(state: TaskState, n_batches: int) -> list[Batch]:
    """Make batches of one row and of several, of the shortest, the longest and other lengths.

    In every third batch the first row lacks a modality, if there are several.
    """
    generator = torch.Generator().manual_seed(1)
    batches = []
    for number in range(n_batches):
        n_rows = (1, 3, 2, 5)[number % 4]
        lengths = torch.rand(n_rows, generator=generator).tolist()
        lengths[0] = (0.0, 1.0, 0.5)[number % 3]
        several = len(state.modalities) > 1 and number % 3 == 2
        left_out = state.modalities[number // 3 % len(state.modalities)]
        absent = {(0, left_out)} if several else ()
        batches.append(make_batch(state, lengths, generator, absent))
    return batches


def make_dialogue(n_rows: int, n_windows: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Make the dialogues of a batch of rows, in which the order and the speakers are random.

    Args:
        n_rows: U.
        n_windows: W, at most U; all but the last one have as many turns as each other.
        generator: of the order, of the speakers, and of which turns are scored.
    """
    order = torch.randperm(n_rows, generator=generator)
    parts = order.tensor_split(n_windows)
    turns, padding_mask = pad_right(list(parts), 0)
    speaker = torch.randint(-1, 3, turns.shape, generator=generator)
    n_scored = 1 + int(torch.randint(n_rows, (1,), generator=generator))
    scored = torch.randperm(n_rows, generator=generator)[:n_scored]
    return {"turns": turns, "padding_mask": padding_mask, "speaker": speaker, "scored": scored}


def make_checks(model: RobertaEMOModel, state: TaskState, n_batches: int) -> list[Check]:
    """Make batches to compare on, with dialogues for a model that reads them."""
    batches = _make_batches(state, n_batches)
    if model.dialogue_encoder is None:
        return [(batch, None) for batch in batches]
    generator = torch.Generator().manual_seed(2)
    batches.append(make_batch(state, [0.0] * _LONG, generator))
    checks: list[Check] = []
    for batch in batches:
        n_rows = len(next(iter(batch.values()))["present"])
        n_windows = 1 if n_rows == _LONG else 1 + len(checks) % n_rows
        checks.append((batch, make_dialogue(n_rows, n_windows, generator)))
    return checks


def _row(
    state: TaskState, modality: str, kind: str, share: float, generator: torch.Generator
) -> Tensor:
    """Make one row: ids (T,), samples (T,), frames (T, C) or pictures (T, H, W, 3).

    A `share` of 0 is the shortest, of 1 the longest that there is.
    """

    def between(shortest: int, longest: int) -> int:
        return shortest + round(share * max(0, longest - shortest))

    if kind == TOKENS:
        vocabulary = state.vocabularies[modality]
        specials = vocabulary.specials
        n_words = between(1, min(state.limits.max_tokens(modality), _MOST_TOKENS) - 2)
        words = torch.randint(vocabulary.size, (n_words,), generator=generator)
        words[words == specials.pad] = specials.unknown
        first, last = torch.tensor([specials.init]), torch.tensor([specials.separator])
        return torch.cat([first, words, last])
    if kind == WAVEFORM:
        longest = min(state.limits.max_samples(), _MOST_SAMPLES)
        return torch.randn(between(MIN_SAMPLES, longest), generator=generator) * 0.1
    if kind == PIXELS:
        encoder = state.encoders[modality]
        clip = int(encoder.architecture["config"].get("num_frames") or _CLIP)
        longest = min(state.limits.picture_options(modality).max_pictures, clip + clip // 2 + 1)
        size = (between(1, longest), encoder.picture_size.height, encoder.picture_size.width, 3)
        return torch.randint(256, size, generator=generator, dtype=torch.uint8)
    width = N_MELS if kind == LOG_MEL else len(state.frame_statistics[modality].mean)
    return torch.randn(between(FEW_FRAMES, _MOST_FRAMES), width, generator=generator)


def _collate(
    state: TaskState, modality: str, kind: str, rows: Sequence[Tensor], present: Sequence[bool]
) -> dict[str, Tensor]:
    name = TENSOR_OF[kind]
    pad = state.vocabularies[modality].specials.pad if kind == TOKENS else 0.0
    items, padding_mask = pad_right(rows, pad)
    return {name: items, "padding_mask": padding_mask, "present": torch.tensor(present)}
