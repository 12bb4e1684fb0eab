"""The orders in which a curriculum takes in the rows (``--curriculum-order``).

An order is a function ``(traits, rng) -> (N,) row numbers``, the first ones seen first. Rows of
equal rank are in an order drawn from `rng`, never in that of the file.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emo_fairseq.data.samplers import rank_in_group
from emo_fairseq.errors import UsageError

logger = logging.getLogger(__name__)

DIFFICULTY, INVERSE_DIFFICULTY = BY_DIFFICULTY = ("difficulty", "inverse_difficulty")
CLASS_BALANCE = "class_balance"
MODEL_CONFIDENCE = "model_confidence"
PRESET = "preset"
NONE = "none"


class CurriculumTraits(NamedTuple):
    """Traits of the N rows; each order reads the one that it needs."""

    n_rows: int
    labels: np.ndarray | None = None  # (N,) int64 class ids, -1 = unknown
    difficulty: np.ndarray | None = None  # (N,) float, higher = harder, NaN = unknown
    confidence: np.ndarray | None = None  # (N,) float, NaN = unknown
    preset: np.ndarray | None = None  # (N,) row numbers, of `read_preset`


Order = Callable[[CurriculumTraits, np.random.Generator], np.ndarray]


def by_difficulty(traits: CurriculumTraits, rng: np.random.Generator) -> np.ndarray:
    """Sort from the easiest to the hardest row; unknown difficulty counts as the median.

    Raises:
        UsageError: the difficulty of every row is unknown.
    """
    return _ascending(_filled_difficulty(traits), rng)


def by_inverse_difficulty(traits: CurriculumTraits, rng: np.random.Generator) -> np.ndarray:
    """Sort from the hardest to the easiest row; see :func:`by_difficulty`."""
    return _ascending(-_filled_difficulty(traits), rng)


def by_class_balance(traits: CurriculumTraits, rng: np.random.Generator) -> np.ndarray:
    """Take in turn a row of each class that has rows left, each class in random order.

    So the counts of any two classes differ by at most 1 in any prefix in which none has run out.
    Rows of unknown class count as a class.
    """
    assert traits.labels is not None
    order = rng.permutation(traits.n_rows)
    return order[_ascending(rank_in_group(traits.labels[order]), rng)]


def by_confidence(traits: CurriculumTraits, rng: np.random.Generator) -> np.ndarray:
    """Sort from the highest to the lowest confidence of the model; unknown (NaN) comes last."""
    assert traits.confidence is not None
    unknown = np.isnan(traits.confidence)
    _log_unknown("confidence", unknown, "come last")
    return _ascending(np.where(unknown, np.inf, -traits.confidence), rng)


def by_preset(traits: CurriculumTraits, rng: np.random.Generator) -> np.ndarray:
    """Return the order of a file; see :func:`read_preset`."""
    assert traits.preset is not None
    return traits.preset


def at_random(traits: CurriculumTraits, rng: np.random.Generator) -> np.ndarray:
    """Return a random order, the control of an experiment: the number of rows alone varies."""
    return rng.permutation(traits.n_rows)


def in_file_order(traits: CurriculumTraits, rng: np.random.Generator) -> np.ndarray:
    """Return the order of the manifest, for epochs that have all rows."""
    return np.arange(traits.n_rows)


ORDERS: dict[str, Order] = {
    DIFFICULTY: by_difficulty,
    INVERSE_DIFFICULTY: by_inverse_difficulty,
    CLASS_BALANCE: by_class_balance,
    MODEL_CONFIDENCE: by_confidence,
    PRESET: by_preset,
    "random": at_random,
    NONE: in_file_order,
}


def read_preset(path: Path, ids: Sequence[str]) -> np.ndarray:
    """Read row numbers in the order of a file of ids, one a line.

    Args:
        path: UTF-8 text; empty lines are skipped.
        ids: of the N training rows, all different.

    Returns:
        (N,) int64, a permutation of the row numbers.

    Raises:
        UsageError: the file cannot be read, or does not have every id exactly once.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: {error}; give a text file of ids, one a line"
        raise UsageError(message, "order-unreadable") from error
    row_of = {name: row for row, name in enumerate(ids)}
    line_of: dict[str, int] = {}
    for number, name in enumerate(map(str.strip, lines), start=1):
        if not name:
            continue
        if name not in row_of:
            raise UsageError(
                f"{path}, line {number}: {name!r} is no utterance that is trained on; "
                "correct the id, or take the line out",
                "id-unknown",
            )
        if name in line_of:
            raise UsageError(
                f"{path}, line {number}: {name!r} is in line {line_of[name]} already; take one out",
                "id-duplicate",
            )
        line_of[name] = number
    missing = [name for name in ids if name not in line_of]
    if missing:
        raise UsageError(
            f"{path}: {len(missing)} of {len(ids)} utterances are missing, the first is "
            f"{missing[0]!r}; add each as a line of its own, at its place",
            "id-missing",
        )
    return np.array([row_of[name] for name in line_of], dtype=np.int64)


def _filled_difficulty(traits: CurriculumTraits) -> np.ndarray:
    assert traits.difficulty is not None
    unknown = np.isnan(traits.difficulty)
    if unknown.all():
        raise UsageError(
            "a curriculum by difficulty: the difficulty of every row is unknown; "
            "choose another --curriculum-order",
            "difficulty-unknown",
        )
    _log_unknown("difficulty", unknown, "are placed as if of the median one")
    return np.where(unknown, np.median(traits.difficulty[~unknown]), traits.difficulty)


def _log_unknown(name: str, unknown: np.ndarray, position: str) -> None:
    if unknown.any():
        logger.info("curriculum: %d rows of unknown %s %s", unknown.sum(), name, position)


def _ascending(keys: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the row numbers sorted by their keys, equal ones at random."""
    return np.lexsort((rng.permutation(len(keys)), keys))
