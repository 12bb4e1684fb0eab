"""What the card of a corpus states of odd audio that is used: how many rows, and which."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from data_prep.audio.loading import AudioError, Measured
from data_prep.manifest.records import Corpus
from data_prep.messages import first_few

logger = logging.getLogger(__name__)


def note_warnings(corpus: Corpus, measured: Iterable[tuple[str, Measured | AudioError]]) -> None:
    """Add a note for each kind of warning in (row id, measured audio), and log it."""
    ids: dict[str, list[str]] = {}
    for name, audio in measured:
        for warning in audio.warnings if isinstance(audio, Measured) else ():
            ids.setdefault(warning.partition(":")[0], []).append(name)
    for kind, names in ids.items():
        note = f"{kind}, {len(names)} rows: {first_few(names)} (data_prep.validate lists them all)"
        corpus.notes.append(note)
        logger.warning("%s", note)
