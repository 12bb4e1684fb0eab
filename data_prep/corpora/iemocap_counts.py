"""How many turns a full copy of IEMOCAP has, against what is there."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from data_prep.manifest.records import Corpus

FULL = {
    "neu": 1708,
    "sad": 1084,
    "ang": 1103,
    "hap": 595,
    "exc": 1041,
    "fru": 1849,
    "fea": 40,
    "sur": 107,
    "dis": 2,
    "oth": 3,
    "xxx": 2507,
}
# Turns of neutral, sad, angry, happy and excited.
FOUR_CLASS = {"Ses01": 1085, "Ses02": 1023, "Ses03": 1151, "Ses04": 1031, "Ses05": 1241}
_FOUR = ("neu", "sad", "ang", "hap", "exc")

logger = logging.getLogger(__name__)


def check_counts(turns: Sequence[tuple[str, str]], corpus: Corpus) -> None:
    """Note the known counts, and warn where all sessions are there but other turns.

    Args:
        turns: (session, label) of every label line.
        corpus: whose notes are added to.
    """
    sessions = ", ".join(f"{session} {count}" for session, count in FOUR_CLASS.items())
    corpus.notes.append(
        f"a full copy has {sum(FULL.values())} turns; in 4 classes {sum(FOUR_CLASS.values())}: "
        f"{sessions}"
    )
    there = sorted({session for session, _ in turns})
    if there != sorted(FOUR_CLASS):
        corpus.notes.append(f"a part of the corpus: {', '.join(there)}")
        return
    labels = Counter(label for _, label in turns)
    four = Counter(session for session, label in turns if label in _FOUR)
    wrong = [f"{k} {found[k]}, not {n}" for known, found in ((FULL, labels), (FOUR_CLASS, four))
             for k, n in known.items() if found[k] != n]  # fmt: skip
    if wrong:
        note = f"this copy differs from the full one: {'; '.join(wrong)}"
        corpus.notes.append(note)
        logger.warning("%s", note)
