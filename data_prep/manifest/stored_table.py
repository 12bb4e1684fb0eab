"""Columns of large manifests, stored once beside the manifest and mapped into memory from then on.

    DATA_DIR/.columns/{split}.arrow   the columns, and what is computed of all rows: an Arrow file
    DATA_DIR/.columns/{split}.json    digests of the manifest and of the Arrow file

They are a copy: they are made again whenever the manifest has another digest or the Arrow file is
damaged, and may be deleted at any time. Where the data dir cannot be written they are in the user's
cache, and where that cannot be written either, in memory.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from data_prep.errors import CodedError, ManifestError
from data_prep.files.digests import FileRecord, digest_once, record_of, user_memory, verify
from data_prep.files.documents import Document, load_json
from data_prep.files.replacing import replacing
from data_prep.manifest.digests import SOUNDS, TEXTS, rows_digest, texts_digest
from data_prep.manifest.provenance import id_hashes
from data_prep.manifest.table import ID_HASH, ManifestTable, column

logger = logging.getLogger(__name__)

MIN_BYTES = 1 << 23  # a smaller manifest is read in a tenth of a second
FOLDER = ".columns"
_VERSION = 1  # of the content of the Arrow file
_ROWS_AT_ONCE = 65_536
_AGAIN = "it is made again"


class StoredColumns(Document):
    """Schema of the card of stored columns."""

    version: int
    manifest: str  # SHA-256
    columns: FileRecord


def read(file: Path, parse: Callable[[Path], ManifestTable]) -> ManifestTable:
    """Return the rows of a manifest: mapped if its columns are stored, else parsed and stored.

    Raises:
        ManifestError: `parse` refuses it.
    """
    if not file.is_file() or file.stat().st_size < MIN_BYTES:
        return parse(file)
    digest = digest_once(file)
    folders = _folders(file)
    for folder in folders:
        if (stored := _open(folder, file.stem, digest)) is not None:
            return stored
    rows = parse(file)
    if digest_once(file) != digest:  # it was written while it was read
        return rows
    for folder in folders:
        try:
            _store(folder, file.stem, digest, rows)
        except OSError:
            continue
        logger.info("%s: %d rows; their columns are kept in %s", file, len(rows), folder)
        return _open(folder, file.stem, digest) or rows
    logger.warning(
        "%s: its columns are in memory, and read anew by every command, since neither %s can be "
        "written",
        file,
        " nor ".join(map(str, folders)),
    )
    return rows


def _folders(file: Path) -> list[Path]:
    """Return where the columns may be stored, the preferred folder first."""
    name = hashlib.sha256(str(file.absolute()).encode("utf-8", "surrogateescape")).hexdigest()
    return [file.parent / FOLDER, user_memory().parent / "columns" / name[:16]]


def _open(folder: Path, name: str, digest: str) -> ManifestTable | None:
    """Map stored columns; None if there are none, or those of another manifest or damaged."""
    data, card_file = folder / f"{name}.arrow", folder / f"{name}.json"
    if not card_file.is_file():
        return None
    try:
        card = load_json(card_file, StoredColumns, remedy=_AGAIN)
        if (card.version, card.manifest) != (_VERSION, digest):
            return None
        verify(data, card.columns.model_dump(), _AGAIN)
        table = pa.ipc.open_file(pa.memory_map(str(data))).read_all()
    except (OSError, ManifestError, CodedError, pa.ArrowInvalid) as error:
        logger.warning("%s; %s", error, _AGAIN)
        return None
    derived = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    hashes = table[ID_HASH]
    return ManifestTable(table.drop([ID_HASH]), derived={**derived, ID_HASH: hashes})


def _store(folder: Path, name: str, digest: str, rows: ManifestTable) -> None:
    """Write columns. Raises OSError if the folder cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {key: column(rows, key) for key in rows.columns}
    arrays[ID_HASH] = pa.chunked_array([id_hashes(rows)])
    derived = {TEXTS: texts_digest(rows), SOUNDS: rows_digest(rows)}
    table = pa.table(arrays, metadata=derived).unify_dictionaries().combine_chunks()
    data, card_file = folder / f"{name}.arrow", folder / f"{name}.json"
    with (
        replacing(data) as part,
        pa.OSFile(str(part), "wb") as out,
        pa.ipc.new_file(out, table.schema) as writer,
    ):
        writer.write_table(table, max_chunksize=_ROWS_AT_ONCE)
    record = FileRecord(**record_of(data))
    card = StoredColumns(version=_VERSION, manifest=digest, columns=record)
    with replacing(card_file) as part:
        part.write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
