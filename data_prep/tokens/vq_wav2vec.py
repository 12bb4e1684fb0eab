"""Speech tokenizer by vq-wav2vec: codes of waveforms, in batches, on the GPU if there is one.

It imports the reader of fairseq's checkpoints from emo_fairseq, when a model is loaded.

Rows are computed independently of each other and in float32, so that codes do not depend on the
batch. A GPU rounds differently from a CPU, which rarely changes the code of a frame.

A row longer than `max_seconds` is split into pieces of equal length at frame borders, and the codes
are concatenated: their number is that of the whole row, but some differ, since the model's
convolutions are normalized over time. (fairseq's own script also splits evenly, at 81 seconds, and
loses the frames at the borders.)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from data_prep.audio.decoding import FloatArray
from data_prep.errors import CodedError
from data_prep.files.digests import digest_once
from data_prep.files.replacing import replacing
from data_prep.pretrained import load_vq_wav2vec
from data_prep.schema import SAMPLE_RATE
from data_prep.tokens.folder import (
    DICT_FILE,
    EOS,
    SpecialIds,
    Tokens,
    load_dictionary,
    read_card,
)

if TYPE_CHECKING:
    from fairseq.data import Dictionary

Codes = npt.NDArray[np.int32]  # (T, G)

BATCH_SECONDS = 60.0
MAX_SECONDS = 30.0


class VqWav2Vec:
    """The quantizer of a checkpoint of fairseq.

    Args:
        checkpoint: of vq-wav2vec.
        max_seconds: longer rows are split.

    Attributes:
        n_groups: G, codes per frame.
        n_codes: codes are in 0 ... n_codes - 1.
        reach: receptive field of a frame, in samples at 16 kHz.
        hop: samples from one frame to the next.

    Raises:
        ValueError: the checkpoint is not a vq-wav2vec.
    """

    def __init__(self, checkpoint: str | Path, max_seconds: float = MAX_SECONDS) -> None:
        import torch

        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model: Any = load_vq_wav2vec(checkpoint).to(self._device)
        self.n_groups: int = self._model.n_groups
        self.n_codes: int = self._model.n_codes
        self.reach: int = self._model.encoder.receptive_field
        convolutions = [block[0] for block in self._model.encoder.feature_extractor.conv_layers]
        self.hop: int = math.prod(convolution.stride[0] for convolution in convolutions)
        self._max_samples = int(max_seconds * SAMPLE_RATE)

    def codes(
        self, waveforms: Iterable[FloatArray], batch_seconds: float = BATCH_SECONDS
    ) -> list[Codes]:
        """Return the codes (T, G) of each waveform; T is 0 for less than one frame.

        Args:
            waveforms: (S,) at 16 kHz each; consumed batch by batch.
            batch_seconds: maximum length of a batch, including padding.
        """
        codes_of_rows: list[list[Codes]] = []

        def pieces() -> Iterator[tuple[int, FloatArray]]:
            for row, waveform in enumerate(waveforms):
                codes_of_rows.append([np.empty((0, self.n_groups), np.int32)])
                for piece in cut_evenly(len(waveform), self.reach, self.hop, self._max_samples):
                    yield row, waveform[piece]

        most = int(batch_seconds * SAMPLE_RATE)
        for batch in in_batches(pieces(), lambda piece: len(piece[1]), most):
            codes_of_batch = self._quantize([samples for _, samples in batch])
            for (row, _), codes in zip(batch, codes_of_batch, strict=True):
                codes_of_rows[row].append(codes)
        return [np.concatenate(parts) for parts in codes_of_rows]

    def _quantize(self, batch: Sequence[FloatArray]) -> list[Codes]:
        import torch

        lengths = torch.tensor([len(samples) for samples in batch])
        waveform = torch.zeros(len(batch), int(lengths.max()))  # B x S
        for row, samples in zip(waveform, batch, strict=True):
            row[: len(samples)] = torch.from_numpy(samples)
        padding_mask = torch.arange(waveform.size(1)) >= lengths[:, None]
        # By default cuDNN rounds to a mantissa of 10 bits, and chooses the algorithm by the shape.
        exact: dict[str, Any] = {"benchmark": False, "deterministic": True, "allow_tf32": False}
        with torch.backends.cudnn.flags(enabled=True, **exact):
            codes, code_mask = self._model(waveform.to(self._device), padding_mask.to(self._device))
        n_frames = (~code_mask).sum(dim=1).tolist()
        arrays = codes.cpu().numpy().astype(np.int32)  # B x T x G
        return [row[:n] for row, n in zip(arrays, n_frames, strict=True)]


# -- Splitting and batching ------------------------------------------------------------------------
# Convolutions without padding map S samples to 1 + (S - reach) // hop frames: frame t reads the
# samples from t * hop to t * hop + reach.

Item = TypeVar("Item")


def cut_evenly(n_samples: int, reach: int, hop: int, most: int) -> list[slice]:
    """Split samples into pieces whose concatenated frames are those of the whole.

    Pieces begin at frame borders and overlap by the receptive field, so that no frame is lost or
    duplicated. Their lengths are equal, up to a frame, since a short last one would lack context.

    Args:
        n_samples: length of the waveform.
        reach: receptive field of a frame in samples.
        hop: samples from one frame to the next.
        most: maximum length of a piece, unless it is shorter than `reach`.

    Returns:
        Slices of the waveform; none for less than one frame.

    >>> cut_evenly(1000, reach=400, hop=100, most=1000)
    [slice(0, 1000, None)]
    >>> cut_evenly(1000, reach=400, hop=100, most=800)
    [slice(0, 600, None), slice(300, 1000, None)]
    >>> cut_evenly(399, reach=400, hop=100, most=800)
    []
    """
    n_frames = max(0, 1 + (n_samples - reach) // hop)
    most_frames = max(1, 1 + (most - reach) // hop)  # in a piece
    n_pieces = -(-n_frames // most_frames)
    if n_pieces == 1:
        return [slice(0, n_samples)]
    borders = [n_frames * piece // n_pieces for piece in range(n_pieces + 1)] if n_pieces else []
    return [slice(first * hop, (last - 1) * hop + reach) for first, last in pairwise(borders)]


def in_batches(
    items: Iterable[Item], size: Callable[[Item], int], most: int
) -> Iterator[list[Item]]:
    """Yield batches of consecutive items whose padded size is at most `most`.

    An item that is larger is a batch of its own.

    >>> list(in_batches(["a", "bb", "ccc", "dddddddd", "e"], len, most=6))
    [['a', 'bb'], ['ccc'], ['dddddddd'], ['e']]
    """
    batch: list[Item] = []
    longest = 0
    for item in items:
        longest = max(longest, size(item))
        if batch and longest * (len(batch) + 1) > most:
            yield batch
            batch, longest = [], size(item)
        batch.append(item)
    if batch:
        yield batch


# -- Tokenizer -------------------------------------------------------------------------------------
# The token of a frame is its two codes, such as `17-302`, as in fairseq's BERT on vq-wav2vec,
# whose dict.txt has about 13,500 of the 102,400 pairs. A token folder holds the dict.txt and the
# path of the checkpoint, not the checkpoint.

PATH_FILE = "checkpoint.txt"  # path of the checkpoint; its SHA-256 is in the card
_AGAIN = "run data_prep.tokenize_speech with --checkpoint (finished splits are kept)"


class VqWav2VecTokenizer:
    """Encode waveforms by the quantizer of a checkpoint and the ids of a dict.txt.

    Raises:
        ValueError: the checkpoint is missing or has changed.
    """

    specials = SpecialIds()
    sample_rate = SAMPLE_RATE

    def __init__(self, folder: Path) -> None:
        settings = read_card(folder)["settings"]
        checkpoint = find_checkpoint(folder, settings["checkpoint"])
        self._dictionary = load_dictionary(folder / DICT_FILE)
        self._model = VqWav2Vec(checkpoint, settings["max_seconds"])

    def encode(self, waveform: FloatArray) -> Tokens:
        (codes,) = self._model.codes([waveform])
        return code_ids(codes, self._dictionary)


def remember_checkpoint(folder: Path, checkpoint: str | Path) -> None:
    """Store the path of the checkpoint; not in the card, since moving it changes no tokens."""
    with replacing(folder / PATH_FILE, is_locked=True) as part:
        part.write_text(f"{Path(checkpoint).resolve()}\n", encoding="utf-8")


def find_checkpoint(folder: Path, digest: str) -> Path:
    """Return the checkpoint of a token folder. Raises ValueError if missing or changed."""
    note = folder / PATH_FILE
    if not note.is_file():
        raise CodedError(
            f"{note}: not found, but it holds the path of the checkpoint; {_AGAIN}",
            "checkpoint-missing",
        )
    checkpoint = folder / note.read_text(encoding="utf-8").strip()  # or an absolute path
    if not checkpoint.is_file():
        raise CodedError(
            f"{checkpoint}: there is no such file, and {folder} encodes by this checkpoint of "
            f"vq-wav2vec; put it back, or {_AGAIN}",
            "checkpoint-missing",
        )
    if digest_once(checkpoint) != digest:
        raise CodedError(
            f"{checkpoint}: is not the checkpoint that {folder} was made with, whose SHA-256 is "
            f"{digest}; put that one there, or {_AGAIN}",
            "checkpoint-changed",
        )
    return checkpoint


def symbols(codes: Codes) -> list[str]:
    """Convert codes (T, G) to T symbols.

    >>> symbols(np.array([[3, 17], [0, 5]], dtype=np.int32))
    ['3-17', '0-5']
    """
    return ["-".join(map(str, frame)) for frame in codes.tolist()]


def code_ids(codes: Codes, dictionary: Dictionary) -> Tokens:
    """Convert codes (T, G) to ids (T + 1,), ending with `</s>`; unknown codes become `<unk>`."""
    ids = [dictionary.index(symbol) for symbol in symbols(codes)]
    return np.array([*ids, EOS], dtype=np.int64)


def count_symbols(rows: Iterable[Codes]) -> Counter[str]:
    """Count the symbols of all rows."""
    counts: Counter[str] = Counter()
    for codes in rows:
        counts.update(symbols(codes))
    return counts


def dictionary_file(counts: Counter[str]) -> bytes:
    r"""Format a dict.txt as fairseq writes it: by falling count, then by name.

    >>> dictionary_file(Counter({"1-2": 3, "1-0": 7, "0-9": 3}))
    b'1-0 7\n0-9 3\n1-2 3\n'
    """
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return "".join(f"{symbol} {count}\n" for symbol, count in ranked).encode()


def check_names_codes(path: str | Path, dictionary: Dictionary, model: VqWav2Vec) -> None:
    """Raise ValueError if a dict.txt has no code of the model."""
    if not any(_is_code(symbol, model) for symbol in dictionary.symbols):
        example = "-".join([str(model.n_codes - 1)] * model.n_groups)
        raise CodedError(
            f"{path}: names no code of this vq-wav2vec ({model.n_groups} of {model.n_codes} a "
            f"frame, such as {example}); give the dict.txt of the BERT that was trained on its "
            "codes, or leave --dict out",
            "dictionary-invalid",
        )


def _is_code(symbol: str, model: VqWav2Vec) -> bool:
    parts = symbol.split("-")
    in_range = all(part.isdecimal() and int(part) < model.n_codes for part in parts)
    return in_range and len(parts) == model.n_groups
