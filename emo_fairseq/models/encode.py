"""One encoder over all rows of a leaf, in batches of similar length, row after row."""

import copy
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from fairseq import utils
from fairseq.data import FairseqDataset
from torch import Tensor
from tqdm import tqdm

from data_prep.audio.loading import default_workers
from emo_fairseq.models.modality_encoder import ModalityEncoder
from emo_fairseq.types import (
    TOKENS,
    WAVEFORM,
)

FloatArray = npt.NDArray[np.float32]

# Rows are sorted by length within a window, whose outputs wait in memory for their turn.
_WINDOW_ROWS = 4096
_FIRST_WINDOW_ROWS = 64  # which shows how many numbers the encoder makes of an input
_WAITING_NUMBERS = 2**27  # half a gigabyte
_BATCH_ON_CPU = {TOKENS: 4096, WAVEFORM: 40 * 16_000}
_BATCH_ON_GPU = {TOKENS: 16_384, WAVEFORM: 160 * 16_000}
_BATCH_OF_FRAMES = 16_384


def encoding_device(on_cpu: bool = False) -> torch.device:
    """The GPU of this rank, if there is one and the CPU is not asked for."""
    if torch.cuda.is_available() and not on_cpu:
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def batch_budget(kind: str, device: torch.device) -> int:
    """Tokens, samples or frames of a batch, padding included; one of :mod:`emo_fairseq.types`."""
    budgets = _BATCH_ON_GPU if device.type == "cuda" else _BATCH_ON_CPU
    return budgets.get(kind, _BATCH_OF_FRAMES)


def encoded_width(encoder: ModalityEncoder) -> int:
    """K x C: numbers in a frame of what :func:`encode_rows` yields."""
    return encoder.embed_dim * (1 if encoder.mix is None else encoder.backbone.n_layers + 1)


def encode_rows(
    encoder: ModalityEncoder,
    leaf: FairseqDataset,
    max_tokens: int,
    device: torch.device,
    title: str = "",
) -> Iterator[FloatArray]:
    """Encode every row of a leaf in evaluation, without gradient and in single precision.

    Args:
        encoder: works on `device`, and goes back to where it was. One in half precision stays as
            it is, and a copy works in its place.
        leaf: items are (input, present, ...), and it collates them.
        max_tokens: of a batch, in the unit of the leaf's sizes, padding included, and that of an
            encoder which pads every row to one length. A row that alone has more is a batch of its
            own.
        device: where.
        title: of the progress bar; none without it.

    Yields:
        (T, K x C) for each row in order; T = 0 for one that is not present.
    """
    sizes = np.asarray(leaf.sizes)
    costs = np.maximum(sizes, encoder.backbone.padded_input)
    none = np.zeros((0, encoded_width(encoder)), dtype=np.float32)
    start, numbers_a_unit = 0, 0.0
    with (
        _at_work(encoder, device) as worker,
        ThreadPoolExecutor(default_workers()) as pool,
        tqdm(total=len(leaf), desc=title, unit="row", disable=None if title else True) as bar,
    ):
        while start < len(leaf):
            stop = _window_end(sizes, start, numbers_a_unit)
            found: dict[int, FloatArray] = {}
            batches = _batches(costs, start, stop, max_tokens)
            loading = [pool.submit(_load, leaf, batch) for batch in batches]
            try:
                for waiting in loading:
                    rows, source = waiting.result()
                    if rows:
                        found |= zip(rows, _encode(worker, source, device), strict=True)
            finally:
                for waiting in loading:
                    waiting.cancel()
            made = sum(frames.size for frames in found.values())
            numbers_a_unit = max(numbers_a_unit, made / max(1, int(sizes[start:stop].sum())))
            for row in range(start, stop):
                yield found.pop(row, none)
                bar.update()
            start = stop


def _window_end(sizes: np.ndarray, start: int, numbers_a_unit: float) -> int:
    """Behind as many rows as may wait in memory."""
    if numbers_a_unit == 0:
        return min(len(sizes), start + _FIRST_WINDOW_ROWS)
    total = np.cumsum(sizes[start : start + _WINDOW_ROWS]) * numbers_a_unit
    return start + max(1, int(np.searchsorted(total, _WAITING_NUMBERS, side="right")))


def _batches(costs: np.ndarray, start: int, stop: int, max_tokens: int) -> list[list[int]]:
    """Rows of a window by what they cost, the dearest first, as many as fit a batch."""
    batches: list[list[int]] = []
    dearest = 0
    for row in start + np.argsort(-costs[start:stop], kind="stable"):
        if not batches or (len(batches[-1]) + 1) * dearest > max_tokens:
            batches.append([])
            dearest = int(costs[row])
        batches[-1].append(int(row))
    return batches


def _load(leaf: FairseqDataset, rows: Sequence[int]) -> tuple[list[int], dict[str, Tensor]]:
    """Those of the rows that are present, and the input of their batch."""
    items = {row: leaf[row] for row in rows}
    there = [row for row, item in items.items() if bool(item[1])]
    if not there:
        return [], {}
    collated: dict[str, Any] = leaf.collater([items[row] for row in there])
    return there, {
        name: value for name, value in collated.items() if name not in ("present", "focus")
    }


def _encode(
    encoder: ModalityEncoder, source: dict[str, Tensor], device: torch.device
) -> list[FloatArray]:
    """(T, K x C) for each row of a batch."""
    # TF32, which cuDNN computes convolutions in by default, keeps three digits.
    exact = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    source = utils.move_to_cuda(source, device) if device.type == "cuda" else source
    with torch.no_grad(), torch.autocast(device.type, enabled=False), exact:
        encoded, padding_mask = encoder.encode(**source)
    lengths = (~padding_mask).sum(dim=1).tolist()
    frames = encoded.flatten(2).float().cpu().numpy()  # B x T x K x C -> B x T x KC
    return [row[:length] for row, length in zip(frames, lengths, strict=True)]


@contextmanager
def _at_work(encoder: ModalityEncoder, device: torch.device) -> Iterator[ModalityEncoder]:
    """The encoder in evaluation, on the device, in single precision; as it was, afterwards."""
    parameters = list(encoder.backbone.parameters())
    if any(parameter.dtype != torch.float32 for parameter in parameters):
        yield copy.deepcopy(encoder).to(device, torch.float32).eval()
        return
    home = parameters[0].device if parameters else device
    was_training = encoder.training
    try:
        yield encoder.to(device).eval()
    finally:
        encoder.to(home).train(was_training)
