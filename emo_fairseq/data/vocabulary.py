"""The symbols of a modality's tokens, and whether a checkpoint was trained with the same ones."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.manifest.digests import sequence_digest
from data_prep.tokens.checking import check_tokenizer
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
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import TEXT

logger = logging.getLogger(__name__)

ROBERTA_SIZE = 50_265
MASK_SYMBOLS = ("<mask>", "[MASK]")


@dataclass(frozen=True)
class Vocabulary:
    """The symbols of a modality's tokens.

    Attributes:
        size: number of symbols, specials included.
        digest: see :func:`symbols_digest`; empty where no ``dict.txt`` names the symbols (the
            legacy layout).
        source: where they come from, for messages.
        specials: ids of the boundary tokens, of padding and of unknown symbols.
        tokenizer: digest of the files of the tokenizer, by which those with the same symbols are
            distinguished; empty where none is recorded.
    """

    size: int
    digest: str
    source: str
    specials: SpecialIds = field(default_factory=SpecialIds)
    tokenizer: str = ""

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Vocabulary":
        """Return the vocabulary of a checkpoint, the inverse of :meth:`to_state`."""
        return cls(**{**state, "specials": SpecialIds(**state.get("specials", {}))})

    def to_state(self) -> dict[str, object]:
        """Return plain values, for a checkpoint."""
        return asdict(self)

    def with_boundaries(self, init_token: int | None, separator_token: int | None) -> "Vocabulary":
        """Return a copy with the ids of ``--init-token`` and ``--separator-token``, where given.

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
                    f"--{option}-token {token} is outside the {self.size} symbols of {self.source}",
                    "token-out-of-range",
                )

    def is_same(self, trained_with: "Vocabulary") -> bool:
        """Return whether this is the vocabulary of the checkpoint.

        Where one of them has no names, its size must not be larger.
        """
        if self.digest and trained_with.digest:
            return self.digest == trained_with.digest
        return self.size <= trained_with.size

    def check_same(self, trained_with: "Vocabulary") -> None:
        """Raise a `UsageError` if this is not the vocabulary of the checkpoint."""
        if not self.is_same(trained_with):
            raise UsageError(
                f"{self.source}: these {self.size} symbols are not the {trained_with.size} that "
                f"the checkpoint was trained with ({trained_with.source}); tokenize the data "
                "with the checkpoint's own tokenizer files",
                "vocabulary-other",
            )


def read_vocabulary(folder: Path) -> Vocabulary | None:
    """Read the vocabulary of a token folder; None if no file in it names its symbols.

    Raises:
        UsageError: ``dict.txt`` is malformed, or a file of the tokenizer is damaged.
    """
    check_tokenizer(folder)
    card = read_card(folder) if (folder / TOKENIZER_FILE).exists() else {}
    files = sequence_digest(sorted(card["files"].items())) if card else ""
    if (folder / SYMBOLS_FILE).exists():
        symbols = load_symbols(folder)
        return Vocabulary(
            size=len(symbols),
            digest=symbols_digest(symbols),
            source=str(folder / SYMBOLS_FILE),
            specials=special_ids(card),
            tokenizer=files,
        )
    if not (folder / DICT_FILE).exists():
        return None
    return replace(read_dictionary(folder / DICT_FILE), tokenizer=files)


def find_mask_symbol(folder: Path | None) -> int | None:
    """Return the id of the first of `MASK_SYMBOLS` that a token folder has; None if it has none."""
    symbols: list[str] = []
    if folder is not None and (folder / SYMBOLS_FILE).exists():
        symbols = load_symbols(folder)
    elif folder is not None and (folder / DICT_FILE).exists():
        symbols = load_dictionary(folder / DICT_FILE).symbols
    return next((symbols.index(name) for name in MASK_SYMBOLS if name in symbols), None)


def symbols_digest(symbols: Sequence[str]) -> str:
    """Return the SHA-256 of the symbols in the order of their ids."""
    return hashlib.sha256("\n".join(symbols).encode()).hexdigest()


def read_dictionary(dictionary_file: Path) -> Vocabulary:
    """Read the vocabulary of a ``dict.txt``; raise a `UsageError` if it is malformed."""
    dictionary = load_dictionary(dictionary_file)
    return Vocabulary(len(dictionary), symbols_digest(dictionary.symbols), str(dictionary_file))


def assume_vocabulary(modality: str, tokens: list[np.ndarray]) -> Vocabulary:
    """Return the vocabulary of tokens without a dictionary: RoBERTa's for text, a scan for speech.

    The log names the assumption.
    """
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
    """Raise a `UsageError` if an id is outside of the vocabulary."""
    largest = max(int(ids.max()) for ids in tokens)
    if largest >= vocabulary.size:
        raise UsageError(
            f"{modality} token id {largest} is outside the {vocabulary.size} symbols of "
            f"{vocabulary.source}; put the right dict.txt beside the tokens, or tokenize again",
            "token-out-of-range",
        )
