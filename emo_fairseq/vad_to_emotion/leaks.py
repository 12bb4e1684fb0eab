"""Whether a forest, or the model behind a predictions file, has seen the rows it is used on."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data_prep.manifest.provenance import (
    Provenance,
    seen_rows,
)
from data_prep.schema import Utterance, read_corpus
from emo_fairseq.data.leak_guard import HeldOut, LeakGuard

RECORD = "provenance"  # its key in a forest's file


def guard_of(name: str, rows: Iterable[Utterance], data: Path, allows: bool) -> LeakGuard:
    """Compares records with rows of a data dir.

    Args:
        name: of the rows; where it begins with ``test``, they may have selected nothing either.
        rows: that must not have been seen.
        data: the data dir.
        allows: ``--allow-leak``.
    """
    return LeakGuard(lambda: HeldOut({name: list(rows)}, read_corpus(data).name, None), allows)


def fitted_on(rows: Iterable[Utterance], data: Path, split: str) -> Provenance:
    """The record of the rows that a forest is fitted on."""
    return seen_rows(rows, read_corpus(data).name, split)


def forest_record(about: Mapping[str, Any], file: str | Path = "the forest") -> Provenance | None:
    """What a forest was fitted on; None of one that does not record it.

    Raises:
        data_prep.errors.ManifestError: the record cannot be read.
    """
    return Provenance.from_state(about[RECORD], file) if RECORD in about else None


def leak_notes(record: Provenance) -> list[str]:
    """Return the notes below a table that was made with allowed leaks."""
    return [f"leak allowed: {leak}" for leak in record.allowed]
