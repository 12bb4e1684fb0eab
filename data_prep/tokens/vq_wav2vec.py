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
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from data_prep.audio.frames import FloatArray
from data_prep.errors import CodedError
from data_prep.files.digests import digest_once
from data_prep.files.replacing import replacing
from data_prep.manifest.records import SAMPLE_RATE
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
        self.reach: int = self._model.encoder.receptive_field
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


# -- Long sounds cut into pieces for convolutions, and pieces gathered into batches of bounded size
# Convolutions without padding make 1 + (S - reach) // hop frames of S samples: frame t sees the
# samples from t * hop to t * hop + reach.

Item = TypeVar("Item")


def cut_evenly(n_samples: int, reach: int, hop: int, most: int) -> list[slice]:
    """Pieces of about `most` samples at most, whose frames joined are those of the whole.

    Each begins where a frame begins and overlaps the next by what a frame sees, so that no frame is
    lost or made twice. All are equally long, to a frame: a short last one would be heard out of
    context. Fewer samples than a frame sees make no piece.

    >>> cut_evenly(1000, reach=400, hop=100, most=1000)
    [slice(0, 1000, None)]
    >>> cut_evenly(1000, reach=400, hop=100, most=800)
    [slice(0, 600, None), slice(300, 1000, None)]
    >>> cut_evenly(399, reach=400, hop=100, most=800)
    []
    """
    n_frames = max(0, 1 + (n_samples - reach) // hop)
    room = max(1, 1 + (most - reach) // hop)  # frames in a piece
    n_pieces = -(-n_frames // room)
    if n_pieces == 1:
        return [slice(0, n_samples)]
    borders = [n_frames * piece // n_pieces for piece in range(n_pieces + 1)] if n_pieces else []
    return [slice(first * hop, (last - 1) * hop + reach) for first, last in pairwise(borders)]


def in_batches(
    items: Iterable[Item], size: Callable[[Item], int], most: int
) -> Iterator[list[Item]]:
    """Consecutive items in batches of at most `most` when all are padded to the longest.

    An item that is larger by itself is a batch of its own.

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


# -- vq-wav2vec as a tokenizer of speech: a frame's token is its codes joined, such as `17-302`
# So has it the BERT that fairseq trained over vq-wav2vec, whose dict.txt names some 13,500 of the
# 102,400 pairs. A token folder keeps that dict.txt, and where the checkpoint lies, not the
# checkpoint.

PLACE_FILE = "checkpoint.txt"  # where the checkpoint was last; its SHA-256 is in the card
_AGAIN = "run data_prep.tokenize_speech with --checkpoint (nothing is computed twice)"


class VqWav2VecTokenizer:
    """Frames -> codes by the checkpoint's quantizer, then ids by dict.txt.

    Raises ValueError if the checkpoint is gone, or is another one.
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
    """Note where it lies. Not in the card: a checkpoint that is moved changes no token."""
    with replacing(folder / PLACE_FILE, is_locked=True) as part:
        part.write_text(f"{Path(checkpoint).resolve()}\n", encoding="utf-8")


def find_checkpoint(folder: Path, digest: str) -> Path:
    """The checkpoint that a token folder was made with. Raises ValueError if it is not there."""
    note = folder / PLACE_FILE
    if not note.is_file():
        raise CodedError(
            f"{note}: not found, it says where the checkpoint lies; {_AGAIN}", "checkpoint-missing"
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
    """(T, G) -> T names.

    >>> symbols(np.array([[3, 17], [0, 5]], dtype=np.int32))
    ['3-17', '0-5']
    """
    return ["-".join(map(str, frame)) for frame in codes.tolist()]


def code_ids(codes: Codes, dictionary: Dictionary) -> Tokens:
    """(T, G) codes -> (T + 1,) ids, `<unk>` for what the dictionary does not name, and `</s>`."""
    ids = [dictionary.index(symbol) for symbol in symbols(codes)]
    return np.array([*ids, EOS], dtype=np.int64)


def count_symbols(rows: Iterable[Codes]) -> Counter[str]:
    """How often each occurs."""
    counts: Counter[str] = Counter()
    for codes in rows:
        counts.update(symbols(codes))
    return counts


def dictionary_file(counts: Counter[str]) -> bytes:
    r"""A dict.txt as fairseq writes it: the frequent ones first, then by name.

    >>> dictionary_file(Counter({"1-2": 3, "1-0": 7, "0-9": 3}))
    b'1-0 7\n0-9 3\n1-2 3\n'
    """
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return "".join(f"{symbol} {count}\n" for symbol, count in ranked).encode()


def check_names_codes(path: str | Path, dictionary: Dictionary, model: VqWav2Vec) -> None:
    """Raise ValueError if a dict.txt names not one code of the model."""
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
