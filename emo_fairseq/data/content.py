"""What a leaf gives, as a digest: whatever is computed from it depends on this alone."""

import hashlib
import json
from pathlib import Path
from typing import Any

from fairseq.data import FairseqDataset
from torch import Tensor

from data_prep.audio.segment import audio_digests
from emo_fairseq.data.waveform import WaveformDataset
from emo_fairseq.errors import UsageError


def content_digest(leaf: FairseqDataset, memory: Path) -> str:
    """SHA-256 of the rows of a leaf, in their order.

    Of audio the files and segments count, and the limit at which they are cut; of all else the
    items themselves, so that whatever shapes them (boundaries, truncation, context) is covered.

    Args:
        leaf: gives the same items every time.
        memory: the file that remembers the digests of files.

    Raises:
        UsageError: an audio file cannot be read.
    """
    if isinstance(leaf, WaveformDataset):
        try:
            digests = audio_digests(leaf.audio, memory)
        except ValueError as error:
            raise UsageError(str(error)) from error
        return hashlib.sha256(json.dumps([leaf.max_samples, digests]).encode()).hexdigest()
    found = hashlib.sha256()
    for row in range(len(leaf)):
        for part in leaf[row]:
            found.update(_bytes(part))
    return found.hexdigest()


def _bytes(part: Any) -> bytes:
    if isinstance(part, Tensor):
        array = part.contiguous().numpy()
        return f"{array.dtype}{array.shape}".encode() + array.tobytes()
    return json.dumps(part).encode()
