"""Packed audio: the samples of every row of a split in one file, read by mmap.

`DATA_DIR/packed_audio/` holds for each split

- `{split}.s16le`: the samples of all rows, stacked; mono, 16-bit integers, little-endian, without a
  header (`ffplay -f s16le -ar 16000 -ac 1`);
- `{split}.rows.npy`: a record of :data:`data_prep.packed_audio.rows.ROW` for each row, with the
  number of its samples and their CRC-32;
- `{split}.files.npy`: a record of :data:`data_prep.packed_audio.sources.SOURCE` for each file;

and `packed_audio.yaml`, which names the rate and, for each finished split, what it was made from,
what was rounded, and the records of its files. The two tables are compared with their records when
a split is opened, and the samples of a row with their CRC-32 when it is read for the first time:
nothing reads the whole file at the start of a training.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from data_prep.files.digests import FileRecord
from data_prep.files.documents import Count, Document, FileName, load_yaml
from data_prep.files.replacing import replacing
from data_prep.files.yaml_values import dump_yaml

FOLDER = "packed_audio"
CARD_FILE = "packed_audio.yaml"
DIGESTS_FILE = ".digests.json"
FORMAT = 3  # increase it when the layout, or what is stored of a row, changes
# What may be wrong in audio that was packed by an older version.
_OLDER = {
    1: "where segments of Ogg Vorbis, and features extracted from them, may be wrong",
    2: "where a recording that was replaced by one of the same size and time is not noticed",
}
ENDINGS = (".s16le", ".rows.npy", ".files.npy")  # of the files of a split
_NAMED = 10  # rows, in the card
_DTYPE = "int16, little-endian, mono"


class SomeRows(Document):
    """How many rows, and the ids of the first of them."""

    rows: Count
    first: list[str]

    @classmethod
    def of(cls, ids: Sequence[str]) -> SomeRows:
        """Return the record of the rows with these ids."""
        return cls(rows=len(ids), first=list(ids[:_NAMED]))

    def __str__(self) -> str:
        rest = self.rows - len(self.first)
        return f"{self.rows} rows: {', '.join(self.first)}{f' and {rest} more' * bool(rest)}"


class PackedSplit(Document):
    """What one finished split was made from, and what was stored of it."""

    manifest: str  # digest of its paths and segments, in their order
    manifest_file: str  # SHA-256 of the TSV: if it is the same, so is `manifest`
    rows: Count
    without_audio: Count
    exact: Count  # rows that are the samples of their source
    rounded: Count  # rows of another rate, of several channels or of more than 16 bits
    halved: Count  # of these, rows beyond full scale
    unreadable: SomeRows
    samples: Count
    max_error: float  # in units of 16 bits; that of rounding is 0.5
    warnings: dict[str, SomeRows]  # by what is odd, such as digital silence
    files: dict[FileName, FileRecord]


class PackCard(Document):
    """The schema of `packed_audio.yaml`."""

    format: int
    sample_rate: Count
    dtype: str = _DTYPE
    splits: dict[str, PackedSplit] = Field(default_factory=dict)


def describe_other_format(card: PackCard) -> str:
    """Return why packed audio of another format is not read; empty for that of this version."""
    if card.format == FORMAT:
        return ""
    reason = _OLDER.get(card.format, f"and not {FORMAT}")
    return f"its format is {card.format}, {reason}"


def read_card(folder: Path) -> PackCard | None:
    """Load the card of a folder; None where there is none.

    Raises:
        ManifestError: it is not of the schema.
    """
    file = folder / CARD_FILE
    if not file.exists():
        return None
    return load_yaml(file, PackCard, remedy="delete it and run `python -m data_prep.pack_audio`")


def write_card(folder: Path, card: PackCard) -> None:
    """Write the card of a folder, which the caller has locked."""
    with replacing(folder / CARD_FILE, is_locked=True) as part:
        part.write_text(dump_yaml(card.model_dump()), encoding="utf-8")
