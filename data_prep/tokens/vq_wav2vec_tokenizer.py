"""vq-wav2vec as a tokenizer of speech: a frame's token is its codes joined, such as `17-302`.

So has it the BERT that fairseq trained over vq-wav2vec, whose dict.txt names some 13,500 of the
102,400 pairs. A token folder keeps that dict.txt, and where the checkpoint lies, not the
checkpoint.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data_prep.audio.frames import FloatArray
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
from data_prep.tokens.vq_wav2vec import Codes, VqWav2Vec

if TYPE_CHECKING:
    from fairseq.data import Dictionary

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
        raise ValueError(f"{note}: not found, it says where the checkpoint lies; {_AGAIN}")
    checkpoint = folder / note.read_text(encoding="utf-8").strip()  # or an absolute path
    if not checkpoint.is_file():
        raise ValueError(
            f"{checkpoint}: there is no such file, and {folder} encodes by this checkpoint of "
            f"vq-wav2vec; put it back, or {_AGAIN}"
        )
    if digest_once(checkpoint) != digest:
        raise ValueError(
            f"{checkpoint}: is not the checkpoint that {folder} was made with, whose SHA-256 is "
            f"{digest}; put that one there, or {_AGAIN}"
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
        raise ValueError(
            f"{path}: names no code of this vq-wav2vec ({model.n_groups} of {model.n_codes} a "
            f"frame, such as {example}); give the dict.txt of the BERT that was trained on its "
            "codes, or leave --dict out"
        )


def _is_code(symbol: str, model: VqWav2Vec) -> bool:
    parts = symbol.split("-")
    in_range = all(part.isdecimal() and int(part) < model.n_codes for part in parts)
    return in_range and len(parts) == model.n_groups
