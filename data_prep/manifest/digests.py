"""Digests of rows: what the tokens and the features of a split were made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from data_prep.manifest.records import Utterance
from data_prep.manifest.segment import segment_key

if TYPE_CHECKING:
    import pyarrow as pa

TEXTS, SOUNDS = "texts", "sounds"  # digests that are stored beside columns
_ROWS_AT_ONCE = 65_536
_ESCAPED = r'["\\\x00-\x1f\x7f]|[^\x00-\x7f]'  # what JSON writes otherwise, and DEL


def sequence_digest(pairs: Iterable[tuple[str, str | None]]) -> str:
    """Return the SHA-256 of (id, content) pairs in order; None differs from any string."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(json.dumps(pair).encode() + b"\n")
    return digest.hexdigest()


def texts_digest(rows: Sequence[Utterance]) -> str:
    """Digest what tokens of texts depend on in a manifest: ids and texts."""
    from data_prep.manifest.table import ManifestTable, column

    if isinstance(rows, ManifestTable) and (stored := rows.derived(TEXTS)) is not None:
        return str(stored)
    return _digest_columns(column(rows, "id"), column(rows, "text"))


def videos_digest(rows: Sequence[Utterance]) -> str:
    """Digest what features of videos depend on in a manifest: ids, videos and segments."""
    from data_prep.manifest.table import column

    videos, starts, ends = (column(rows, name).to_pylist() for name in ("video", "start", "end"))
    return sequence_digest(
        (row_id, None if video is None else video + segment_key(start, end))
        for row_id, video, start, end in zip(
            column(rows, "id").to_pylist(), videos, starts, ends, strict=True
        )
    )


def rows_digest(rows: Sequence[Utterance]) -> str:
    """Digest what features of a split depend on in its manifest: ids, audio, segment, length."""
    from data_prep.manifest.table import ManifestTable, column

    if isinstance(rows, ManifestTable) and (stored := rows.derived(SOUNDS)) is not None:
        return str(stored)
    return _digest_columns(column(rows, "id"), _sounds(rows))


def _sounds(rows: Sequence[Utterance]) -> pa.ChunkedArray:
    """Return the audio of each row, its length and its segment as one text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from data_prep.manifest.table import column

    audio, length = column(rows, "audio"), column(rows, "n_samples").cast(pa.string())
    start, end = column(rows, "start"), column(rows, "end")
    times = zip(start.to_pylist(), end.to_pylist(), strict=True)
    is_whole = start.null_count + end.null_count == 2 * len(rows)
    segments = "" if is_whole else pa.array([segment_key(*pair) for pair in times], pa.string())
    sounds = pc.binary_join_element_wise(audio.fill_null("None"), length.fill_null("None"), " ")
    return pc.binary_join_element_wise(sounds, segments, "")


def _digest_columns(ids: pa.ChunkedArray, contents: pa.ChunkedArray) -> str:
    """Return `sequence_digest` of two columns of strings."""
    import pyarrow as pa

    digest = hashlib.sha256()
    for first in range(0, len(ids), _ROWS_AT_ONCE):
        parts = (cells.slice(first, _ROWS_AT_ONCE).chunks for cells in (ids, contents))
        digest.update(_json_lines(*map(pa.concat_arrays, parts)))
    return digest.hexdigest()


def _json_lines(ids: pa.Array, contents: pa.Array) -> bytes:
    """Return the pairs as JSON, a line each."""
    import pyarrow.compute as pc

    names, cells = _json_strings(ids), pc.fill_null(_json_strings(contents), "null")
    return _bytes_of(pc.binary_join_element_wise("[", names, ", ", cells, "]\n", ""))


def _json_strings(cells: pa.Array) -> pa.Array:
    """Return strings as `json.dumps` writes them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = pc.binary_join_element_wise('"', cells, '"', "")
    is_escaped = pc.fill_null(pc.match_substring_regex(cells, _ESCAPED), False)
    if not pc.any(is_escaped, min_count=0).as_py():
        return plain
    written = [json.dumps(cell) for cell in cells.filter(is_escaped).to_pylist()]
    return pc.replace_with_mask(plain, is_escaped, pa.array(written, pa.string()))


def _bytes_of(strings: pa.Array) -> bytes:
    """Return strings one after the other, as UTF-8."""
    import numpy as np

    offsets = np.frombuffer(strings.buffers()[1], np.int32)[strings.offset :]
    first, last = int(offsets[0]), int(offsets[len(strings)])
    return bytes(strings.buffers()[2][first:last]) if last > first else b""
