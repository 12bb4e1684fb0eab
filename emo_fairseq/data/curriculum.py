"""Curriculum learning: a train set that grows, each epoch with the first rows of an order.

:data:`PACINGS` are shares of the rows by epoch, :data:`ORDERS` orders of the rows, and
:class:`CurriculumDataset` leaves out the rows that are not in the epoch.
"""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from fairseq.data import BaseWrapperDataset, FairseqDataset

from emo_fairseq.data.samplers import rank_in_group
from emo_fairseq.errors import UsageError

logger = logging.getLogger(__name__)

DIFFICULTY, INVERSE_DIFFICULTY = BY_DIFFICULTY = ("difficulty", "inverse_difficulty")
CLASS_BALANCE = "class_balance"
MODEL_CONFIDENCE = "model_confidence"
PRESET = "preset"
NONE = "none"

# -- Pacing (``--curriculum-pacing``) --------------------------------------------------------------


def _linear(epoch: int, n_epochs: int) -> float:
    return (epoch + 1) / n_epochs


def _sqrt(epoch: int, n_epochs: int) -> float:
    return math.sqrt((epoch + 1) / n_epochs)


def _log(epoch: int, n_epochs: int) -> float:
    return math.log(epoch + 2) / math.log(n_epochs + 1)


def _exponential(epoch: int, n_epochs: int) -> float:
    # The exponent is 0 in the last epoch of the curriculum, also where that is the first.
    return float(n_epochs) ** -((n_epochs - 1 - epoch) / max(n_epochs - 1, 1))


def _none(epoch: int, n_epochs: int) -> float:
    return 1.0


PACINGS: dict[str, Callable[[int, int], float]] = {
    "linear": _linear,
    "sqrt": _sqrt,
    "log": _log,
    "exponential": _exponential,
    "none": _none,
}


def share_of_epoch(pacing: str, epoch: int, n_epochs: int) -> float:
    """Return the share of the ordered train set that is in an epoch; it rises to 1.

    >>> [round(share_of_epoch("linear", epoch, 4), 2) for epoch in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]

    With e the epoch and T the length of the curriculum:

    ===========  ==========================  ==================================================
    linear       (e+1) / T
    sqrt         sqrt((e+1) / T)             adds less and less, so that new rows are seen equally
                                             often (Platanios et al. 2019, Competence-based CL)
    log          log(e+2) / log(T+1)         the same, from a lower start
    exponential  T^(-(T-1-e) / (T-1))        starts at 1/T as linear does and grows by the same
                                             factor every epoch (Hacohen & Weinshall 2019), without
                                             a constant to choose
    none         1
    ===========  ==========================  ==================================================

    Args:
        pacing: a name of `PACINGS`.
        epoch: counted from 0.
        n_epochs: T, 1 or more; the share is 1 in epoch T-1 and ever after.
    """
    return min(1.0, PACINGS[pacing](epoch, n_epochs))


def rows_of_share(share: float, n_rows: int) -> int:
    """Return the number of rows of a share, rounded up: a share above 0 is at least one row.

    A millionth of a row is an error of floating point: seven of 25 epochs are 7 of 25 rows, though
    ``7 / 25 * 25 > 7``.

    >>> rows_of_share(7 / 25, 25)
    7
    """
    return min(n_rows, math.ceil(share * n_rows - 1e-6))


# -- Orders (``--curriculum-order``) ---------------------------------------------------------------
# An order is a function ``(traits, rng) -> (N,) row numbers``, the first ones seen first. Rows of
# equal rank are in an order drawn from `rng`, never in that of the file.


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


# -- The dataset -----------------------------------------------------------------------------------

# epoch, counted from 1 -> (N,) confidence of the model before it; None where there is no model yet.
Confidence = Callable[[int], np.ndarray | None]


class CurriculumDataset(BaseWrapperDataset):
    """Leaves the rows that are not in the epoch out of ``ordered_indices``; nothing else changes.

    Rows keep their numbers, and ``len`` is that of all. Which rows an epoch has depends on the
    arguments and the epoch alone, so that ranks agree, and so do a resumed and an uninterrupted
    epoch; whoever computes `confidence` has to ensure that for it.

    Args:
        dataset: N rows, an ``EmotionDataset`` or one with the attributes forwarded below.
        order: a name of `ORDERS`; ``none`` has all rows in every epoch, whatever the pacing.
        pacing: a name of `PACINGS`.
        n_epochs: epochs until all rows are seen.
        traits: what the order sorts by.
        seed: of random orders, the same on every rank.
        confidence: for the order ``model_confidence`` alone. Called once when the batches of an
            epoch are first made, unless the epoch has all rows; where it returns None the order is
            random.
        class_names: of the labels in `traits`, so that the log counts the classes.

    Raises:
        UsageError: the order cannot sort these rows.
    """

    def __init__(
        self,
        dataset: FairseqDataset,
        order: str,
        pacing: str,
        n_epochs: int,
        traits: CurriculumTraits,
        seed: int,
        confidence: Confidence | None = None,
        class_names: Sequence[str] = (),
    ) -> None:
        super().__init__(dataset)
        self.order = order
        self.pacing = NONE if order == NONE else pacing
        self.n_epochs = n_epochs
        self.traits = traits
        self.seed = seed
        self.confidence = confidence
        self.class_names = class_names
        self.epoch = 1
        self._seen: tuple[int, np.ndarray] | None = None  # an epoch and its rows, (N,) bool
        self._fixed_order: np.ndarray | None = None
        if order != MODEL_CONFIDENCE:
            self._fixed_order = ORDERS[order](traits, np.random.default_rng(seed))

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self.epoch = epoch

    def ordered_indices(self) -> np.ndarray:
        """Return the wrapped dataset's order, of the rows of this epoch."""
        if self._seen is None or self._seen[0] != self.epoch:
            self._seen = self.epoch, self._rows_of_epoch()
        indices = self.dataset.ordered_indices()
        return indices[self._seen[1][indices]]

    # What BaseWrapperDataset does not forward.

    def num_tokens_vec(self, indices: np.ndarray) -> np.ndarray:
        return self.dataset.num_tokens_vec(indices)

    def largest_batch(self, max_sentences: int) -> np.ndarray:
        return self.dataset.largest_batch(max_sentences)

    def check_max_tokens(self, max_tokens: int | None) -> None:
        self.dataset.check_max_tokens(max_tokens)

    @property
    def split(self) -> str:
        return self.dataset.split

    @property
    def shuffle(self) -> bool:
        return self.dataset.shuffle

    @property
    def utterance_ids(self) -> Sequence[str]:
        return self.dataset.utterance_ids

    def _rows_of_epoch(self) -> np.ndarray:
        """(N,) bool."""
        n_rows = len(self)
        share = share_of_epoch(self.pacing, self.epoch - 1, self.n_epochs)  # fairseq's first is 1
        n_seen = rows_of_share(share, n_rows)
        seen = np.full(n_rows, n_seen == n_rows)
        if n_seen < n_rows:  # else neither the order nor the model's confidence matters
            seen[self._current_order()[:n_seen]] = True
        logger.info(
            "curriculum: epoch %d, order %s, pacing %s, share %.3f, %d of %d rows%s",
            self.epoch,
            self.order,
            self.pacing,
            share,
            n_seen,
            n_rows,
            self._describe_classes(seen),
        )
        return seen

    def _current_order(self) -> np.ndarray:
        if self._fixed_order is not None:
            return self._fixed_order
        assert self.confidence is not None, f"the order {self.order} needs it"
        rng = np.random.default_rng((self.seed, self.epoch))
        confidence = self.confidence(self.epoch)
        if confidence is None:
            logger.info("curriculum: there is no model yet, epoch %d is at random", self.epoch)
            return rng.permutation(len(self))
        assert confidence.shape == (len(self),)
        return ORDERS[MODEL_CONFIDENCE](self.traits._replace(confidence=confidence), rng)

    def _describe_classes(self, seen: np.ndarray) -> str:
        """Count the rows of every class for the log, also of those without any."""
        if self.traits.labels is None or not self.class_names:
            return ""
        labels = self.traits.labels[seen]
        counts = np.bincount(labels[labels >= 0], minlength=len(self.class_names))
        return f", {dict(zip(self.class_names, counts.tolist(), strict=True))}"
