"""Run one encoder over all rows of a modality dataset, in batches of similar length.

The cache of frozen encoders, the extraction of features and inference use it.
"""

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from fairseq import utils
from fairseq.data import FairseqDataset
from torch import Tensor

from data_prep.engines import default_workers
from data_prep.features.extraction import ALL_LAYERS
from data_prep.progress import show_progress
from emo_fairseq.modalities import PIXELS, TOKENS, WAVEFORM
from emo_fairseq.models.modality_encoder import (
    LAST,
    MEAN,
    WEIGHTED,
    ModalityEncoder,
    check_layer,
)
from emo_fairseq.modules.encoder import Encoder

FloatArray = npt.NDArray[np.float32]
# A method of ModalityEncoder that takes a batch and returns (B, T, K, C) and a mask (B, T).
Encode = Callable[..., tuple[Tensor, Tensor]]

# Rows are sorted by length within a window, whose outputs are kept in memory until it is complete.
_WINDOW_ROWS = 4096
# Batches that are loaded before they are encoded. A batch has a budget, so that memory is bounded.
BATCHES_AHEAD = 8
_FIRST_WINDOW_ROWS = 64  # to measure how many numbers the encoder returns for an input
_NUMBERS_IN_MEMORY = 2**26  # a quarter of a gigabyte
_BATCH_ON_CPU = {TOKENS: 4096, WAVEFORM: 40 * 16_000, PIXELS: 64}
_BATCH_ON_GPU = {TOKENS: 16_384, WAVEFORM: 160 * 16_000, PIXELS: 512}
_BATCH_OF_FRAMES = 16_384


def encoding_device(on_cpu: bool = False) -> torch.device:
    """Return the GPU of this rank, or the CPU if there is none or it is preferred."""
    if torch.cuda.is_available() and not on_cpu:
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def batch_budget(kind: str, device: torch.device) -> int:
    """Return how many tokens, samples, pictures or frames a batch may have, padding included.

    Args:
        kind: what the encoder reads, one of :data:`emo_fairseq.modalities.INPUTS`.
        device: that it runs on.
    """
    budgets = _BATCH_ON_GPU if device.type == "cuda" else _BATCH_ON_CPU
    return budgets.get(kind, _BATCH_OF_FRAMES)


def encoder_of_features(backbone: Encoder, layer: str) -> ModalityEncoder:
    """Return the frozen encoder whose outputs :mod:`data_prep.extract_features` stores.

    Args:
        backbone: with its weights.
        layer: ``--layer`` of that command; of ``all``, :func:`encode_rows` yields all layers.

    Raises:
        UsageError: there is no such layer.
    """
    check_layer(
        layer, backbone.n_layers, f"--layer {layer}: this encoder", (LAST, MEAN, ALL_LAYERS)
    )
    encoder = ModalityEncoder(backbone, WEIGHTED if layer == ALL_LAYERS else layer)
    encoder.freeze()
    return encoder


def encoded_width(encoder: ModalityEncoder) -> int:
    """Return K x C, the numbers in a frame of what :func:`encode_rows` yields."""
    return encoder.state_dim * encoder.n_states


def encode_rows(
    encoder: ModalityEncoder,
    dataset: FairseqDataset,
    max_tokens: int,
    device: torch.device,
    title: str = "",
    encode: Encode = ModalityEncoder.encode,
) -> Iterator[FloatArray]:
    """Encode every row of a dataset in evaluation mode, without gradient, in single precision.

    Args:
        encoder: is moved to `device` and back. Of one in half precision a copy is used.
        dataset: of one modality; its items are (input, present, ...), and it collates them.
        max_tokens: of a batch, in the unit of the dataset's sizes, padding included, also that of
            an encoder which pads every row to one length. A longer row is a batch of its own.
        device: where the encoder runs.
        title: of the progress bar; without one there is no bar.
        encode: the method of the encoder that runs.

    Yields:
        (T, K x C) for each row in order; T = 0 for one that is not present.
    """
    sizes = np.asarray(dataset.sizes)
    costs = np.maximum(sizes, encoder.backbone.padded_input)
    no_frames = np.zeros((0, encoded_width(encoder)), dtype=np.float32)
    start, numbers_per_unit = 0, 0.0
    with (
        _evaluating(encoder, device) as evaluated,
        ThreadPoolExecutor(default_workers()) as pool,
        show_progress(title, len(dataset), hidden=not title) as update,
    ):
        while start < len(dataset):
            stop = _window_end(sizes, start, numbers_per_unit)
            outputs: dict[int, FloatArray] = {}
            for rows, source in _load_ahead(
                pool, dataset, _batches(costs, start, stop, max_tokens)
            ):
                if rows:
                    encoded = _encode(encode, evaluated, source, device)
                    outputs |= zip(rows, encoded, strict=True)
            n_numbers = sum(frames.size for frames in outputs.values())
            numbers_per_unit = max(
                numbers_per_unit, n_numbers / max(1, int(sizes[start:stop].sum()))
            )
            for row in range(start, stop):
                yield outputs.pop(row, no_frames)
                update(1)
            start = stop


def _window_end(sizes: np.ndarray, start: int, numbers_per_unit: float) -> int:
    """Return the end of a window whose outputs fit into memory."""
    if numbers_per_unit == 0:
        return min(len(sizes), start + _FIRST_WINDOW_ROWS)
    total = np.cumsum(sizes[start : start + _WINDOW_ROWS]) * numbers_per_unit
    return start + max(1, int(np.searchsorted(total, _NUMBERS_IN_MEMORY, side="right")))


def _batches(costs: np.ndarray, start: int, stop: int, max_tokens: int) -> list[list[int]]:
    """Return the rows of a window in batches, from the most expensive rows to the cheapest."""
    batches: list[list[int]] = []
    highest = 0  # cost of a row of the last batch, to which the others are padded
    for row in start + np.argsort(-costs[start:stop], kind="stable"):
        if not batches or (len(batches[-1]) + 1) * highest > max_tokens:
            batches.append([])
            highest = int(costs[row])
        batches[-1].append(int(row))
    return batches


def _load_ahead(
    pool: ThreadPoolExecutor, dataset: FairseqDataset, batches: Iterable[Sequence[int]]
) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
    """Yield what :func:`_load` returns for each batch, loaded a few batches ahead by threads."""
    loading: deque[Future[tuple[list[int], dict[str, Tensor]]]] = deque()
    try:
        for batch in batches:
            loading.append(pool.submit(_load, dataset, batch))
            if len(loading) > BATCHES_AHEAD:
                yield loading.popleft().result()
        while loading:
            yield loading.popleft().result()
    finally:
        for future in loading:
            future.cancel()


def _load(dataset: FairseqDataset, rows: Sequence[int]) -> tuple[list[int], dict[str, Tensor]]:
    """Return the rows that are present, and the collated input of their batch."""
    items = {row: dataset[row] for row in rows}
    present = [row for row, item in items.items() if bool(item[1])]
    if not present:
        return [], {}
    collated: dict[str, Any] = dataset.collater([items[row] for row in present])
    source = {name: value for name, value in collated.items() if name not in ("present", "focus")}
    return present, source


def _encode(
    encode: Encode, encoder: ModalityEncoder, source: dict[str, Tensor], device: torch.device
) -> list[FloatArray]:
    """Return (T, K x C) for each row of a batch."""
    # TF32, which cuDNN computes convolutions in by default, keeps three digits.
    exact = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    source = utils.move_to_cuda(source, device) if device.type == "cuda" else source
    with torch.no_grad(), torch.autocast(device.type, enabled=False), exact:
        encoded, padding_mask = encode(encoder, **source)
    lengths = (~padding_mask).sum(dim=1).tolist()
    frames = encoded.flatten(2).float().cpu().numpy()  # B x T x K x C -> B x T x KC
    return [row[:length] for row, length in zip(frames, lengths, strict=True)]


@contextmanager
def _evaluating(encoder: ModalityEncoder, device: torch.device) -> Iterator[ModalityEncoder]:
    """Put an encoder into evaluation mode on a device, in float32; restore it at the end."""
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
