"""vq-wav2vec at work: waveforms of any length to codes, in batches, on the GPU if there is one.

The one file of data_prep that knows the plugin, whose reader of fairseq's checkpoints it borrows;
only when a model is opened.

Every row is computed as if it were alone, in 32 bits, so that its codes do not depend on what it is
batched with. A GPU rounds otherwise than a CPU does, which now and then tips a frame that lies
between two codes.

A row longer than `max_seconds` is cut into pieces of equal length on frame borders and the codes
are joined: as many as of the whole, but not all the same, since the model's convolutions are normed
over time and a piece has another mean than the whole. (fairseq's own script cuts evenly too, at 81
seconds, and loses the frames that straddle a border.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data_prep.audio.frames import FloatArray
from data_prep.audio.pieces import cut_evenly, in_batches
from data_prep.manifest.records import SAMPLE_RATE

Codes = npt.NDArray[np.int32]  # (T, G)

BATCH_SECONDS = 60.0
MAX_SECONDS = 30.0


class VqWav2Vec:
    """The quantizer of a checkpoint of fairseq's.

    Raises ValueError if it is none of vq-wav2vec.

    Attributes:
        n_groups: G, the codes of one frame.
        n_codes: each of them is in 0 ... n_codes - 1.
        reach: samples at 16 kHz that one frame sees.
        hop: samples from one frame to the next.
    """

    def __init__(self, checkpoint: str | Path, max_seconds: float = MAX_SECONDS) -> None:
        import torch

        from emo_fairseq.pretrained.fairseq_vq import VqWav2VecQuantizer

        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model: Any = VqWav2VecQuantizer.from_checkpoint(checkpoint).to(self._device)
        self.n_groups: int = self._model.n_groups
        self.n_codes: int = self._model.n_codes
        self.reach: int = self._model.encoder.reach
        convolutions = [block[0] for block in self._model.encoder.feature_extractor.conv_layers]
        self.hop: int = math.prod(convolution.stride[0] for convolution in convolutions)
        self._max_samples = int(max_seconds * SAMPLE_RATE)

    def codes(
        self, waveforms: Iterable[FloatArray], batch_seconds: float = BATCH_SECONDS
    ) -> list[Codes]:
        """N waveforms (S,) at 16 kHz -> N times (T, G); T is 0 for less than one frame.

        They are taken one after the other, a batch of at most `batch_seconds` with its padding at a
        time.
        """
        found: list[list[Codes]] = []

        def pieces() -> Iterator[tuple[int, FloatArray]]:
            for row, waveform in enumerate(waveforms):
                found.append([np.empty((0, self.n_groups), np.int32)])
                for piece in cut_evenly(len(waveform), self.reach, self.hop, self._max_samples):
                    yield row, waveform[piece]

        most = int(batch_seconds * SAMPLE_RATE)
        for batch in in_batches(pieces(), lambda piece: len(piece[1]), most):
            codes_of_batch = self._quantize([samples for _, samples in batch])
            for (row, _), codes in zip(batch, codes_of_batch, strict=True):
                found[row].append(codes)
        return [np.concatenate(parts) for parts in found]

    def _quantize(self, batch: Sequence[FloatArray]) -> list[Codes]:
        import torch

        lengths = torch.tensor([len(samples) for samples in batch])
        waveform = torch.zeros(len(batch), int(lengths.max()))  # B x S
        for row, samples in zip(waveform, batch, strict=True):
            row[: len(samples)] = torch.from_numpy(samples)
        padding_mask = torch.arange(waveform.size(1)) >= lengths[:, None]
        # cuDNN would otherwise round to 10 bits of mantissa, and choose how by the shape.
        exact: dict[str, Any] = {"benchmark": False, "deterministic": True, "allow_tf32": False}
        with torch.backends.cudnn.flags(enabled=True, **exact):
            codes, code_mask = self._model(waveform.to(self._device), padding_mask.to(self._device))
        n_frames = (~code_mask).sum(dim=1).tolist()
        arrays = codes.cpu().numpy().astype(np.int32)  # B x T x G
        return [row[:n] for row, n in zip(arrays, n_frames, strict=True)]
