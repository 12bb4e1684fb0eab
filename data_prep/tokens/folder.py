"""Token folders: token files, and the card that records them.

A token folder (`DATA_DIR/text/<name>`, `DATA_DIR/speech/<name>`) holds `{split}.bin` +
`{split}.idx` in fairseq's mmap format, row i for row i of `{split}.tsv`; `dict.txt` and the
tokenizer's own files; and `tokenizer.yaml`. This card holds the settings, the SHA-256 of every
tokenizer file, and each finished split with the SHA-256 of its input. A split that is not in the
card is not finished, and is tokenized by the next run.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from data_prep.errors import (
    Fault,
    ManifestError,
)
from data_prep.files.digests import (
    FileRecord,
    digest_once,
    is_whole,
    records_of,
)
from data_prep.files.documents import Count, Document, FileName, JsonObject, load_json, load_yaml
from data_prep.files.lock import locked
from data_prep.files.replacing import replacing
from data_prep.files.yaml_values import dump_yaml
from data_prep.tokens.token_files import check_token_files, write_token_files

if TYPE_CHECKING:
    from fairseq.data import Dictionary

logger = logging.getLogger(__name__)

TOKENIZER_FILE = "tokenizer.yaml"
DICT_FILE = "dict.txt"
SYMBOLS_FILE = (
    "symbols.json"  # instead of dict.txt, for ids that are not those of fairseq's Dictionary
)
BOS, PAD, EOS, UNK = range(4)  # fairseq's Dictionary begins with these

_SPECIAL_SYMBOLS = ("<s>", "<pad>", "</s>", "<unk>")  # of these ids
_OVERWRITE = "#fairseq:overwrite"

Tokens = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SpecialIds:
    """Ids of the special symbols. By default those of fairseq's Dictionary."""

    init: int = BOS
    pad: int = PAD
    separator: int = EOS
    unknown: int = UNK


class SplitCounts(Document):
    """Entry of a finished split in `tokenizer.yaml`."""

    digest: str
    rows: Count = 0
    tokens: Count = 0  # with `</s>`
    unknown: Count = 0
    missing: Count = 0  # rows whose source is missing
    bin_bytes: Count = 0
    manifest: str = ""  # digest of the ids and sources in the manifest
    files: dict[FileName, FileRecord] = Field(default_factory=dict)


class SpecialsDocument(Document):
    """Schema of `SpecialIds`, in `tokenizer.yaml` and in checkpoints."""

    init: Count
    pad: Count
    separator: Count
    unknown: Count


class TokenizerCard(Document):
    """Schema of `tokenizer.yaml`."""

    settings: JsonObject
    vocab_size: Count = 0
    specials: SpecialsDocument | None = None  # not in cards of older versions
    files: dict[FileName, str]
    splits: dict[FileName, SplitCounts]


class TokenFolder:
    """A token folder of a tokenizer with the given settings."""

    def __init__(self, folder: str | Path, settings: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self._card: dict[str, Any] = {
            "settings": dict(settings),
            "vocab_size": 0,
            "specials": asdict(SpecialIds()),
            "files": {},
            "splits": {},
        }

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process and read its card. ValueError if another holds it."""
        with locked(self.folder / ".lock", wait=False):
            for part in self.folder.glob(".*.part"):
                part.unlink()  # left behind by a run that was killed
            self._resume()
            yield

    def _resume(self) -> None:
        card = read_card(self.folder) if (self.folder / TOKENIZER_FILE).is_file() else None
        if card is None:
            return
        if card["settings"] != self._card["settings"]:
            logger.info("%s: settings or train split changed; starting again", self.folder)
        elif any(
            not (self.folder / name).is_file() or digest_once(self.folder / name) != digest
            for name, digest in card["files"].items()
        ):
            logger.info("%s: a tokenizer file was changed; starting again", self.folder)
        else:
            self._card = card

    @property
    def is_fitted(self) -> bool:
        """Whether the folder has tokenizer files with the same settings."""
        return bool(self._card["files"])

    @property
    def identity(self) -> dict[str, str]:
        """Its settings, and the SHA-256 of every tokenizer file, as strings."""
        return {"settings": repr(sorted(self._card["settings"].items())), **self._card["files"]}

    @property
    def vocab_size(self) -> int:
        """Number of symbols, including special ones."""
        return int(self._card["vocab_size"])

    @property
    def specials(self) -> SpecialIds:
        """Ids of the special symbols."""
        return special_ids(self._card)

    @property
    def splits(self) -> dict[str, SplitCounts]:
        """The finished splits."""
        return {split: SplitCounts(**row) for split, row in self._card["splits"].items()}

    def replace_tokenizer(
        self, files: Mapping[str, bytes], vocab_size: int, specials: SpecialIds | None = None
    ) -> None:
        """Replace the tokenizer files, and remove all tokens of the old ones."""
        self._forget_files(files)
        specials = specials or SpecialIds()
        self._card |= {
            "vocab_size": vocab_size,
            "specials": asdict(specials),
            "files": {},
            "splits": {},
        }
        (self.folder / TOKENIZER_FILE).unlink(missing_ok=True)
        for old in (*self.folder.glob("*.idx"), *self.folder.glob("*.bin")):
            old.unlink()
        for name, content in files.items():
            with replacing(self.folder / name, is_locked=True) as part:
                part.write_bytes(content)
            self._card["files"][name] = hashlib.sha256(content).hexdigest()
        self._save_card()

    def _forget_files(self, kept: Iterable[str]) -> None:
        """Remove the files of another tokenizer."""
        known = read_card(self.folder)["files"] if (self.folder / TOKENIZER_FILE).exists() else ()
        for name in {*known, DICT_FILE, SYMBOLS_FILE} - set(kept):
            (self.folder / name).unlink(missing_ok=True)

    def is_finished(self, split: str, digest: str, manifest: str = "") -> bool:
        """Return whether the tokens of a split are complete and made from the same content.

        Tokens of an older version have no records, which are added if the files are valid.
        """
        counts = self.splits.get(split)
        if counts is None or (counts.digest, counts.manifest) != (digest, manifest):
            return False
        if records := counts.model_dump()["files"]:
            return is_whole(self.folder, records)
        try:
            sizes = check_token_files(self.folder / split, self.vocab_size, "it is written again")
        except ManifestError as error:
            logger.warning("%s", error)
            return False
        if (len(sizes), int(sizes.sum(dtype=np.int64))) != (counts.rows, counts.tokens):
            return False
        self._finish(split, counts)
        return True

    def _finish(self, split: str, counts: SplitCounts) -> None:
        records = records_of(self.folder, (f"{split}.bin", f"{split}.idx"))
        self._card["splits"][split] = counts.model_dump(exclude={"files"}) | {"files": records}
        self._save_card()

    def write_split(
        self,
        split: str,
        digest: str,
        rows: Iterable[Tokens],
        missing: int,
        manifest: str = "",
    ) -> None:
        """Write the tokens of a split, then the card; nothing after an exception in `rows`."""
        counts = SplitCounts(digest=digest, missing=missing, manifest=manifest)

        unknown_id = self.specials.unknown

        def counted() -> Iterator[Tokens]:
            n_rows = n_tokens = n_unknown = 0
            for tokens in rows:
                n_rows += 1
                n_tokens += len(tokens)
                n_unknown += int(np.count_nonzero(tokens == unknown_id))
                yield tokens
            counts.rows, counts.tokens, counts.unknown = n_rows, n_tokens, n_unknown

        self._forget(split)
        counts.bin_bytes = write_tokens(self.folder / split, counted(), self.vocab_size)
        self._finish(split, counts)

    def forget_all_but(self, splits: Iterable[str]) -> None:
        """Remove the tokens of splits that the corpus no longer has."""
        for gone in set(self._card["splits"]) - set(splits):
            self._forget(gone)

    def _forget(self, split: str) -> None:
        """Remove the tokens of a split, first from the card."""
        if self._card["splits"].pop(split, None):
            self._save_card()
        for ending in ("idx", "bin"):
            (self.folder / f"{split}.{ending}").unlink(missing_ok=True)

    def _save_card(self) -> None:
        text = dump_yaml(self._card)
        with replacing(self.folder / TOKENIZER_FILE, is_locked=True) as part:
            part.write_text(text, encoding="utf-8")


def read_card(folder: str | Path) -> dict[str, Any]:
    """Load `tokenizer.yaml` of a token folder as plain values.

    Raises:
        ManifestError: the file is missing, or violates the schema `TokenizerCard`.
    """
    path = Path(folder) / TOKENIZER_FILE
    remedy = (
        "delete it and tokenize again"
        if path.exists()
        else "run data_prep.tokenize_text or tokenize_speech"
    )
    return load_yaml(path, TokenizerCard, remedy=remedy).model_dump(exclude_unset=True)


def load_symbols(folder: Path) -> list[str]:
    """Load `symbols.json`: the symbols in the order of their ids.

    Raises:
        ManifestError: the file is not a list of strings.
    """
    return load_json(folder / SYMBOLS_FILE, list[str], remedy="tokenize again")


def special_ids(card: Mapping[str, Any]) -> SpecialIds:
    """Return the special ids of a card; those of fairseq for cards of older versions."""
    return SpecialIds(**card.get("specials", {}))


def read_symbols(path: str | Path) -> list[str]:
    """Read the symbols of a dict.txt in the order of their ids, after fairseq's four special ones.

    A line is a symbol and its count, such as `happy 12`; `#fairseq:overwrite` at its end allows a
    duplicate symbol.

    Raises:
        ManifestError: the file is not a dictionary, is truncated, or has a duplicate symbol; names
            the line.
    """
    remedy = "copy it again, or tokenize again"

    def fault(row: int | None, problem: str) -> ManifestError:
        return ManifestError(
            Fault(
                str(path), row, f"is no fairseq dictionary: {problem}", remedy, "dictionary-invalid"
            )
        )

    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise fault(None, str(error)) from error
    if text and not text.endswith("\n"):
        raise fault(text.count("\n") + 1, "the last line has no end, so the file was cut")
    symbols, seen = list(_SPECIAL_SYMBOLS), set(_SPECIAL_SYMBOLS)
    for row, line in enumerate(text.split("\n")[:-1], start=1):
        words, _, count = line.rstrip().rpartition(" ")
        if count == _OVERWRITE:
            symbol, _, count = words.rpartition(" ")
        elif (symbol := words) in seen:
            raise fault(row, f"{symbol!r} is there twice")
        if not (symbol and count.isdecimal()):
            raise fault(row, f"{line[:80]!r} is not a symbol and its count")
        symbols.append(symbol)
        seen.add(symbol)
    return symbols


def load_dictionary(path: str | Path) -> Dictionary:
    """Load a dict.txt as fairseq's Dictionary. Raises ManifestError if it is invalid."""
    from fairseq.data import Dictionary

    read_symbols(path)  # fairseq accepts truncated files, and raises a bare Exception for others
    return Dictionary.load(str(path))


def write_tokens(prefix: Path, rows: Iterable[Tokens], vocab_size: int) -> int:
    """Write `prefix`.bin and .idx; see :mod:`data_prep.tokens.token_files`.

    The old .idx is removed before the .bin is replaced, so that both are always of the same run.

    Returns:
        The size of the .bin in bytes.
    """
    bin_file, idx_file = (prefix.with_name(f"{prefix.name}.{e}") for e in ("bin", "idx"))
    with (
        replacing(idx_file, is_locked=True) as idx_part,
        replacing(bin_file, is_locked=True) as bin_part,
    ):
        write_token_files(bin_part, idx_part, rows=rows, n_symbols=vocab_size)
        idx_file.unlink(missing_ok=True)
    return bin_file.stat().st_size


@dataclass(frozen=True)
class TokenizerFiles:
    """A token folder without its tokens, as bytes: workers may run on other machines."""

    contents: Mapping[str, bytes]  # by the file's name

    @classmethod
    def of(cls, folder: Path) -> TokenizerFiles:
        """Read the card and the tokenizer files of a token folder."""
        names = [TOKENIZER_FILE, *read_card(folder)["files"]]
        return cls({name: (folder / name).read_bytes() for name in names})

    @contextmanager
    def written(self) -> Iterator[Path]:
        """Yield a temporary folder with the files, from which a tokenizer is loaded."""
        with tempfile.TemporaryDirectory() as name:
            for file, content in self.contents.items():
                (Path(name) / file).write_bytes(content)
            yield Path(name)
