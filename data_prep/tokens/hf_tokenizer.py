"""Hugging Face tokenizers, with the ids of the pretrained model.

A token folder holds the files of the tokenizer as written by `save_pretrained`, and `symbols.json`,
its symbols in the order of their ids, which is compared with the vocabulary of the encoder.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.errors import CodedError
from data_prep.files.model_folders import model_folder
from data_prep.tokens.folder import SYMBOLS_FILE, SpecialIds, Tokens, read_card, special_ids

TOKENIZER_JSON = "tokenizer.json"  # of the library tokenizers
_EXAMPLE = "a word"
# What transformers raises without files, where it cannot make up a tokenizer: of ModernBERT.
_NO_FILES = "Couldn't instantiate the backend tokenizer"


class HuggingFaceTokenizer:
    """A tokenizer of transformers that adds one symbol before a text and one after it.

    Args:
        folder: folder of the model, or its name on the hub.

    Raises:
        ValueError: there is no tokenizer, it adds other symbols, or its ids have gaps.
    """

    def __init__(self, folder: str | Path) -> None:
        self._tokenizer = _load(folder)
        self.specials = _special_ids(self._tokenizer, folder)
        symbols = self.symbols
        if None in symbols:
            raise CodedError(
                f"{folder}: its tokenizer names {len(symbols)} symbols, and none has the id "
                f"{symbols.index(None)}; fetch the files of the tokenizer again",
                "tokenizer-unreadable",
            )

    def encode(self, text: str | None) -> Tokens:
        ids = self._tokenizer.encode(text, add_special_tokens=False) if text else []
        return np.array([*ids, self.specials.separator], dtype=np.int64)

    def encode_batch(self, texts: Sequence[str | None]) -> list[Tokens]:
        return list(map(self.encode, texts))

    def decode(self, tokens: Iterable[int]) -> str:
        ids = [int(token) for token in tokens]
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    @property
    def symbols(self) -> list[Any]:
        """Return all symbols as text, in the order of their ids."""
        return list(self._tokenizer.convert_ids_to_tokens(list(range(len(self._tokenizer)))))

    def files(self) -> dict[str, bytes]:
        """Return the files stored in a token folder, by name."""
        with tempfile.TemporaryDirectory() as folder:
            self._tokenizer.save_pretrained(folder)
            files = {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir())}
        return {**files, SYMBOLS_FILE: json.dumps(self.symbols).encode()}


class StoredTokenizer:
    """A tokenizer of a token folder, by `tokenizers` alone, which needs no transformers.

    Its ids are those of :class:`HuggingFaceTokenizer`, which wrote the folder.

    Args:
        folder: token folder with a `tokenizer.json`.

    Raises:
        ValueError: the file cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        file = folder / TOKENIZER_JSON
        try:
            self._tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # written in Rust, it raises plain Exception
            raise CodedError(
                f"{file}: cannot be read as a tokenizer ({error}); tokenize again, or export the "
                "model again",
                "tokenizer-unreadable",
            ) from error
        # The task truncates and pads; transformers ignores those settings of the file, too.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.specials = special_ids(read_card(folder))

    def encode(self, text: str | None) -> Tokens:
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids if text else []
        return np.array([*ids, self.specials.separator], dtype=np.int64)

    def encode_batch(self, texts: Sequence[str | None]) -> list[Tokens]:
        given = [text or "" for text in texts]
        encoded = self._tokenizer.encode_batch_fast(given, add_special_tokens=False)
        last = self.specials.separator
        return [
            np.array([*row.ids, last] if text else [last], dtype=np.int64)
            for text, row in zip(given, encoded, strict=True)
        ]

    def decode(self, tokens: Iterable[int]) -> str:
        return str(self._tokenizer.decode(list(map(int, tokens)), skip_special_tokens=True))


def open_stored(folder: Path) -> HuggingFaceTokenizer | StoredTokenizer:
    """Open the tokenizer of a token folder; one without `tokenizer.json` needs transformers."""
    if (folder / TOKENIZER_JSON).is_file():
        return StoredTokenizer(folder)
    return HuggingFaceTokenizer(folder)


def _load(folder: str | Path) -> Any:
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise CodedError(
            "--bpe hf: needs transformers: `pip install -e .[hf]`", "library-missing"
        ) from error
    local = model_folder(folder)
    try:
        # Texts are never truncated here, but by the task, which counts what it truncates.
        tokenizer = AutoTokenizer.from_pretrained(str(local), model_max_length=10**9)
    except Exception as error:  # tokenizers, written in Rust, raises plain Exception
        if _NO_FILES in str(error):
            raise _missing_tokenizer(folder) from error
        reason = str(error).strip().partition("\n")[0]
        raise CodedError(
            f"{folder}: holds no Hugging Face tokenizer that can be read ({reason}); "
            "give the folder of the pretrained model",
            "tokenizer-unreadable",
        ) from error
    # Without files, transformers returns a tokenizer with special symbols only.
    if set(tokenizer.get_vocab().values()) <= set(tokenizer.all_special_ids):
        raise _missing_tokenizer(folder)
    return tokenizer


def _missing_tokenizer(folder: str | Path) -> CodedError:
    return CodedError(
        f"{folder}: holds no files of a tokenizer (tokenizer.json, vocab.txt, ...); "
        "give the folder of a pretrained model with the files of its tokenizer",
        "tokenizer-missing",
    )


def _special_ids(tokenizer: Any, folder: str | Path) -> SpecialIds:
    bare = tokenizer.encode(_EXAMPLE, add_special_tokens=False)
    whole = tokenizer.encode(_EXAMPLE)
    if len(whole) < 2 or whole[1:-1] != bare or tokenizer.pad_token_id is None:
        raise CodedError(
            f"{folder}: this tokenizer does not put one symbol before and one after a text, or "
            "cannot pad; take the model of an encoder (BERT, RoBERTa, MPNet, DeBERTa, ...)",
            "tokenizer-unsupported",
        )
    # A byte-level tokenizer has no unknown symbol: -1 is not an id.
    unknown = -1 if tokenizer.unk_token_id is None else tokenizer.unk_token_id
    return SpecialIds(whole[0], tokenizer.pad_token_id, whole[-1], unknown)
