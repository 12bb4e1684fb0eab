"""How many symbols a modality's tokens have, and whether a checkpoint knows the same ones."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.tokens.folder import (
    DICT_FILE,
    SYMBOLS_FILE,
    TOKENIZER_FILE,
    SpecialIds,
    load_dictionary,
    load_symbols,
    read_card,
    special_ids,
)
from data_prep.tokens.opened import check_tokenizer
from emo_fairseq.errors import UsageError
from emo_fairseq.types import TEXT

logger = logging.getLogger(__name__)

ROBERTA_SIZE = 50_265


@dataclass(frozen=True)
class Vocabulary:
    """Number of symbols, specials included, a digest of their names in order, and the specials.

    The digest is empty where no ``dict.txt`` names the symbols (the seed's layout).
    """

    size: int
    digest: str
    source: str
    specials: SpecialIds = field(default_factory=SpecialIds)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Vocabulary":
        """The inverse of :meth:`to_state`."""
        return cls(**{**state, "specials": SpecialIds(**state.get("specials", {}))})

    def to_state(self) -> dict[str, object]:
        """Plain values, for a checkpoint."""
        return asdict(self)

    def with_boundaries(self, init_token: int | None, separator_token: int | None) -> "Vocabulary":
        """With the ids of ``--init-token`` and ``--separator-token``, where given.

        Raises:
            UsageError: one of them is no symbol.
        """
        init = self.specials.init if init_token is None else init_token
        separator = self.specials.separator if separator_token is None else separator_token
        self._check_boundaries(init, separator)
        specials = replace(self.specials, init=init, separator=separator)
        return replace(self, specials=specials)

    def _check_boundaries(self, init_token: int, separator_token: int) -> None:
        for option, token in (("init", init_token), ("separator", separator_token)):
            if not 0 <= token < self.size:
                raise UsageError(
                    f"--{option}-token {token} is outside the {self.size} symbols of {self.source}"
                )

    def check_same(self, trained_with: "Vocabulary") -> None:
        """Raise a `UsageError` if the data were tokenized with another dictionary."""
        both_named = self.digest and trained_with.digest
        differ = self.digest != trained_with.digest if both_named else self.size > trained_with.size
        if differ:
            raise UsageError(
                f"{self.source}: these {self.size} symbols are not the {trained_with.size} that "
                f"the checkpoint was trained with ({trained_with.source}); tokenize the data "
                "with the checkpoint's own tokenizer files"
            )


def read_vocabulary(folder: Path) -> Vocabulary | None:
    """The vocabulary of a token folder, or None if nothing there names its symbols.

    Raises:
        UsageError: a ``dict.txt`` that is none, or a file of the tokenizer that is damaged.
    """
    try:
        check_tokenizer(folder)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if (folder / SYMBOLS_FILE).exists():
        symbols = load_symbols(folder)
        return Vocabulary(
            *(len(symbols), symbols_digest(symbols), str(folder / SYMBOLS_FILE)),
            special_ids(read_card(folder) if (folder / TOKENIZER_FILE).exists() else {}),
        )
    return read_dictionary(folder / DICT_FILE) if (folder / DICT_FILE).exists() else None


def find_symbol(folder: Path, names: Sequence[str]) -> int | None:
    """The id of the first of these symbols that a token folder names; None if it names none."""
    if (folder / SYMBOLS_FILE).exists():
        symbols = load_symbols(folder)
    elif (folder / DICT_FILE).exists():
        symbols = load_dictionary(folder / DICT_FILE).symbols
    else:
        symbols = []
    return next((symbols.index(name) for name in names if name in symbols), None)


def symbols_digest(symbols: Sequence[str]) -> str:
    """SHA-256 of the symbols in the order of their ids."""
    return hashlib.sha256("\n".join(symbols).encode()).hexdigest()


def read_dictionary(dictionary_file: Path) -> Vocabulary:
    """The vocabulary of a ``dict.txt``. Raises a `UsageError` if it is none."""
    try:
        dictionary = load_dictionary(dictionary_file)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return Vocabulary(len(dictionary), symbols_digest(dictionary.symbols), str(dictionary_file))


def assume_vocabulary(modality: str, tokens: list[np.ndarray]) -> Vocabulary:
    """The vocabulary of tokens that come without a dictionary; says in the log what it assumes."""
    largest = max(int(ids.max()) for ids in tokens)
    if modality == TEXT:
        logger.info("no text dictionary: RoBERTa's %d symbols are assumed", ROBERTA_SIZE)
        vocabulary = Vocabulary(ROBERTA_SIZE, "", "RoBERTa's dictionary, assumed")
    else:
        logger.info(
            "no %s dictionary: the codes reach %d, so %d symbols", modality, largest, largest + 1
        )
        vocabulary = Vocabulary(largest + 1, "", "scan of the codes of all splits")
    check_fits(vocabulary, modality, tokens)
    return vocabulary


def check_fits(vocabulary: Vocabulary, modality: str, tokens: list[np.ndarray]) -> None:
    """Raise a `UsageError` if an id lies outside the vocabulary."""
    largest = max(int(ids.max()) for ids in tokens)
    if largest >= vocabulary.size:
        raise UsageError(
            f"{modality} token id {largest} is outside the {vocabulary.size} symbols of "
            f"{vocabulary.source}; put the right dict.txt beside the tokens, or tokenize again"
        )
