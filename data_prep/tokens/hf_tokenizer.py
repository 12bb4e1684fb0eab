"""Hugging Face tokenizers, with their own ids: a pretrained encoder knows words by those alone.

A token folder holds the tokenizer's files as `save_pretrained` writes them, and `symbols.json`, its
symbols in the order of their ids, by which a checkpoint tells whether it knows the same ones.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.errors import CodedError
from data_prep.tokens.folder import SYMBOLS_FILE, SpecialIds, Tokens

_EXAMPLE = "a word"


class HuggingFaceTokenizer:
    """A tokenizer of transformers: any that puts one symbol before a text and one after it.

    Raises ValueError for a folder without one, for one that marks texts otherwise, and for one
    whose ids leave gaps.
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

    def decode(self, tokens: Iterable[int]) -> str:
        ids = [int(token) for token in tokens]
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    @property
    def symbols(self) -> list[Any]:
        """Return all symbols as text, in the order of their ids."""
        return list(self._tokenizer.convert_ids_to_tokens(list(range(len(self._tokenizer)))))

    def files(self) -> dict[str, bytes]:
        """What a token folder keeps of it, by name."""
        with tempfile.TemporaryDirectory() as folder:
            self._tokenizer.save_pretrained(folder)
            files = {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir())}
        return {**files, SYMBOLS_FILE: json.dumps(self.symbols).encode()}


def _load(folder: str | Path) -> Any:
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise CodedError(
            "--bpe hf: needs transformers: `pip install -e .[hf]`", "library-missing"
        ) from error
    try:
        # However long a text is, it is tokenized whole; the task cuts it, and counts what it cuts.
        tokenizer = AutoTokenizer.from_pretrained(str(folder), model_max_length=10**9)
    except Exception as error:  # tokenizers, written in Rust, raises nothing more special
        reason = str(error).strip().partition("\n")[0]
        raise CodedError(
            f"{folder}: holds no Hugging Face tokenizer that can be read ({reason}); "
            "give the folder of the pretrained model",
            "tokenizer-unreadable",
        ) from error
    # Without the files transformers makes up a tokenizer that knows no word.
    if set(tokenizer.get_vocab().values()) <= set(tokenizer.all_special_ids):
        raise CodedError(
            f"{folder}: holds no files of a tokenizer (tokenizer.json, vocab.txt, ...); "
            "fetch the pretrained model again, with its tokenizer",
            "tokenizer-missing",
        )
    return tokenizer


def _special_ids(tokenizer: Any, folder: str | Path) -> SpecialIds:
    bare = tokenizer.encode(_EXAMPLE, add_special_tokens=False)
    whole = tokenizer.encode(_EXAMPLE)
    if len(whole) < 2 or whole[1:-1] != bare or tokenizer.pad_token_id is None:
        raise CodedError(
            f"{folder}: this tokenizer does not put one symbol before and one after a text, or "
            "cannot pad; take the model of an encoder (BERT, RoBERTa, MPNet, DeBERTa, ...)",
            "tokenizer-unsupported",
        )
    # A byte-level tokenizer knows every word: -1 is the id of none.
    unknown = -1 if tokenizer.unk_token_id is None else tokenizer.unk_token_id
    return SpecialIds(whole[0], tokenizer.pad_token_id, whole[-1], unknown)
