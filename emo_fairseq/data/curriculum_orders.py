"""In which order a curriculum brings the rows in (``--curriculum-order``).

An order is a function ``(traits, rng) -> (N,) row numbers, the first to be seen first``. Rows that
are equal in what it goes by are in an order drawn from `rng`, never in that of the file.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emo_fairseq.data.grouping import rank_in_group
from emo_fairseq.errors import UsageError

logger = logging.getLogger(__name__)


class CurriculumTraits(NamedTuple):
    """What orders know of the N rows; each reads what it goes by, and leaves out the rest."""

    n_rows: int
    labels: np.ndarray | None = None  # (N,) int64 class ids, -1 = unknown
    difficulty: np.ndarray | None = None  # (N,) float, higher = harder, NaN = unknown
    confidence: np.ndarray | None = None  # (N,) float, NaN = unknown
    preset: np.ndarray | None = None  # (N,) row numbers, of `read_preset`


Order = Callable[[CurriculumTraits, np.random.Generator], np.ndarray]


def by_difficulty(traits: CurriculumTraits, rng: np.random.Generator) -> np.ndarray:
    """The easiest first; rows of unknown difficulty as if they were of the median one.

    Raises:
        UsageError: the difficulty of every row is unknown.
    """
    return _ascending(_filled_difficulty(traits), rng)


def by_inverse_difficulty(traits: CurriculumTraits, rng: np.random.Generator) -> np.ndarray:
    """The hardest first; unknown and refused as in `by_difficulty`."""
    return _ascending(-_filled_difficulty(traits), rng)


def by_class_balance(traits: CurriculumTraits, rng: np.random.Generator) -> np.ndarray:
    """In turn a row of each class that has rows left, each class at random inside.

    So the counts of any two classes differ by at most 1 in any prefix in which none has run out.
    Rows of unknown class count as a class.
    """
    assert traits.labels is not None
    order = rng.permutation(traits.n_rows)
    return order[_ascending(rank_in_group(traits.labels[order]), rng)]


def by_confidence(traits: CurriculumTraits, rng: np.random.Generator) -> np.ndarray:
    """What the model is most confident of first, rows of unknown confidence (NaN) last."""
    assert traits.confidence is not None
    unknown = np.isnan(traits.confidence)
    _log_unknown("confidence", unknown, "come last")
    return _ascending(np.where(unknown, np.inf, -traits.confidence), rng)


def by_preset(traits: CurriculumTraits, rng: np.random.Generator) -> np.ndarray:
    """As the file has it; see `read_preset`."""
    assert traits.preset is not None
    return traits.preset


def at_random(traits: CurriculumTraits, rng: np.random.Generator) -> np.ndarray:
    """Any order, the control of an experiment: what counts is how many rows an epoch has."""
    return rng.permutation(traits.n_rows)


def as_they_are(traits: CurriculumTraits, rng: np.random.Generator) -> np.ndarray:
    """The order of the file, of use to those who see all rows in every epoch."""
    return np.arange(traits.n_rows)


ORDERS: dict[str, Order] = {
    "difficulty": by_difficulty,
    "inverse_difficulty": by_inverse_difficulty,
    "class_balance": by_class_balance,
    "model_confidence": by_confidence,
    "preset": by_preset,
    "random": at_random,
    "none": as_they_are,
}


def read_preset(path: Path, ids: Sequence[str]) -> np.ndarray:
    """Row numbers in the order of a file of ids, one a line.

    Args:
        path: UTF-8 text; empty lines are passed over.
        ids: of the N rows that are trained on, each its own.

    Returns:
        (N,) int64, a permutation of the row numbers.

    Raises:
        UsageError: the file cannot be read, or does not have every id exactly once.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}; give a text file of ids, one a line") from error
    row_of = {name: row for row, name in enumerate(ids)}
    line_of: dict[str, int] = {}
    for number, name in enumerate(map(str.strip, lines), start=1):
        if not name:
            continue
        if name not in row_of:
            raise UsageError(
                f"{path}, line {number}: {name!r} is no utterance that is trained on; "
                "correct the id, or take the line out"
            )
        if name in line_of:
            raise UsageError(
                f"{path}, line {number}: {name!r} is in line {line_of[name]} already; take one out"
            )
        line_of[name] = number
    missing = [name for name in ids if name not in line_of]
    if missing:
        raise UsageError(
            f"{path}: {len(missing)} of {len(ids)} utterances are missing, the first is "
            f"{missing[0]!r}; add each as a line of its own, at its place"
        )
    return np.array([row_of[name] for name in line_of], dtype=np.int64)


def _filled_difficulty(traits: CurriculumTraits) -> np.ndarray:
    assert traits.difficulty is not None
    unknown = np.isnan(traits.difficulty)
    if unknown.all():
        raise UsageError(
            "a curriculum by difficulty: the difficulty of every row is unknown; "
            "choose another --curriculum-order"
        )
    _log_unknown("difficulty", unknown, "are placed as if of the median one")
    return np.where(unknown, np.median(traits.difficulty[~unknown]), traits.difficulty)


def _log_unknown(name: str, unknown: np.ndarray, place: str) -> None:
    if unknown.any():
        logger.info("curriculum: %d rows of unknown %s %s", unknown.sum(), name, place)


def _ascending(keys: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Row numbers by their keys, equal ones at random."""
    return np.lexsort((rng.permutation(len(keys)), keys))
