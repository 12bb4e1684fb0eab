"""The rows of a split that can be trained on and scored: they have a truth and an input."""

import logging
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from data_prep.manifest.table import has
from emo_fairseq.data.manifest import Split, report_rows
from emo_fairseq.data.votes import vote_shares
from emo_fairseq.errors import UsageError
from emo_fairseq.targets import Target, TargetKind

logger = logging.getLogger(__name__)


def select_rows(
    split: Split,
    target: Target,
    present: Mapping[str, np.ndarray],
    labels: Sequence[str] = (),
) -> np.ndarray:
    """Return the usable rows: those with a truth and at least one of the modalities.

    What is left out is counted in the log with the first few ids.

    Args:
        split: N rows.
        target: what is predicted.
        present: for each modality which rows have it, (N,) bool.
        labels: of a distribution; a row has a truth if it has a vote for one of them.

    Returns:
        (M,) row numbers.

    Raises:
        UsageError: there is none.
    """
    has_input, labeled = find_usable(split, target, present, labels)
    report_rows(split, ~labeled, f"left out, no {' / '.join(target.columns)}")
    report_rows(split, labeled & ~has_input, f"left out, neither of {', '.join(present)}")
    rows = np.flatnonzero(has_input & labeled)
    if len(rows) == 0:
        raise no_usable_row(split, target, present)
    return rows


def find_usable(
    split: Split,
    target: Target,
    present: Mapping[str, np.ndarray],
    labels: Sequence[str],
) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows have a modality, and which a truth: (N,) bool each.

    Args:
        split: N rows.
        target: what is predicted.
        present: for each modality which rows have it, (N,) bool.
        labels: of a distribution; a row has a truth if it has a vote for one of them.
    """
    columns = [has(split.utterances, column) for column in target.columns]
    labeled = np.full(len(split.utterances), target.is_none) | np.any(columns, axis=0)
    has_input = np.any(list(present.values()), axis=0)
    if target.kind is TargetKind.DISTRIBUTION:
        labeled &= _have_votes(split, labels, labeled)
        agreed = has(split.utterances, "emotion")
        usable = labeled & has_input
        logger.info(
            "%s: %d rows with votes, %d of them without a majority label",
            split.file,
            usable.sum(),
            (usable & ~agreed).sum(),
        )
    return has_input, labeled


def _have_votes(split: Split, labels: Sequence[str], voted: np.ndarray) -> np.ndarray:
    """Return which rows have a vote for one of the labels, and report the others with votes."""
    shares = vote_shares(split.utterances, labels)
    outside = voted & np.isnan(shares).any(axis=1)
    report_rows(split, outside, f"have no vote for any of {', '.join(labels)}")
    return ~outside


def no_usable_row(split: Split, target: Target, modalities: Iterable[str]) -> UsageError:
    """Return the error of a split without any row that has truth and input."""
    truth = "" if target.is_none else f"both {' / '.join(target.columns)} and "
    return UsageError(
        f"{split.file}: no row has {truth}one of "
        f"{', '.join(modalities)}; choose another --target or --modality",
        "rows-unusable",
    )
