"""Digests of rows: what the tokens and the features of a split were made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from data_prep.manifest.records import Utterance


def sequence_digest(pairs: Iterable[tuple[str, str | None]]) -> str:
    """Return the SHA-256 of (id, content) pairs in order; None differs from any string."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(json.dumps(pair).encode() + b"\n")
    return digest.hexdigest()


def rows_digest(rows: Iterable[Utterance]) -> str:
    """Digest what features of a split depend on in its manifest: ids, audio, segment, length."""
    sounds = ((row.id, f"{row.audio} {row.n_samples}{row.segment_key}") for row in rows)
    return sequence_digest(sounds)
