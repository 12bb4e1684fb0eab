"""What is known of the rows of a split beyond their input, as arrays."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.manifest.table import codes, numbers
from data_prep.manifest.votes import OTHER
from data_prep.schema import AXES, CORPUS_FILE
from emo_fairseq.data.manifest import Split, report_rows
from emo_fairseq.data.votes import unknown_votes, vote_shares
from emo_fairseq.errors import UsageError
from emo_fairseq.targets import TARGETS, Target, TargetKind


def vad_values(split: Split) -> np.ndarray:
    """Return valence, arousal and dominance: (N, 3) float64 in [0, 1], NaN = missing."""
    return np.stack([numbers(split.utterances, axis) for axis in AXES], axis=1)


def group_names(split: Split, column: str) -> list[str]:
    """Return the values of a column of the manifest, each once, sorted."""
    return sorted(filter(None, codes(split.utterances, column)[1]))


def group_ids(split: Split, column: str, names: Sequence[str]) -> np.ndarray:
    """Return the index of each row's value in `names`: (N,) int64, -1 = missing or unknown."""
    own, own_names = codes(split.utterances, column)
    number = {name: position for position, name in enumerate(names)}
    return np.array([number.get(name, -1) for name in own_names] + [-1], dtype=np.int64)[own]


# -- The classes of a contrastive loss, and of prototypes ------------------------------------------


@dataclass(frozen=True)
class Classes:
    """A label column of the manifest and its labels.

    Attributes:
        target: of labels; the primary one, or "emotion" beside a target of numbers.
        names: in the order of their ids.
    """

    target: Target
    names: Sequence[str]

    @property
    def column(self) -> str:
        """Return the column of the manifest."""
        return self.target.columns[0]

    def ids(self, split: Split) -> np.ndarray:
        """Return the class ids (N,) int64 of a split's rows, -1 = missing."""
        return truth_array(split, self.target, self.names)


def target_of_classes(target: Target) -> Target:
    """Return the target itself if its truth is one label, and that of emotions else."""
    has_one_label = target.has_labels and target.kind is not TargetKind.DISTRIBUTION
    return target if has_one_label else TARGETS["emotion"]


def truth_array(
    split: Split, target: Target, labels: Sequence[str], foreign: Collection[str] = ()
) -> np.ndarray:
    """Return the truth of every row.

    Args:
        split: N rows.
        target: its columns hold the truth.
        labels: in the order of their ids; for numbers of no use.
        foreign: labels that count as missing; the log counts their rows.

    Returns:
        (N,) int64 label ids, -1 = missing; (N, A) float64 numbers, NaN = missing; or of a
        distribution (N, K + 1) float64, see :mod:`emo_fairseq.metrics.votes`, with shares that are
        NaN = missing.

    Raises:
        UsageError: a label that is in neither `labels` nor `foreign`.
    """
    if not target.has_labels:
        # float64, since fairseq halves float32 under --fp16, the truth included.
        if target.is_none:
            return np.zeros((len(split.utterances), 0))
        return np.stack([numbers(split.utterances, name) for name in target.columns], axis=1)
    if target.kind is TargetKind.DISTRIBUTION:
        majority = truth_array(split, TARGETS["emotion"], labels, foreign)
        return np.concatenate([majority[:, None], _shares(split, labels)], axis=1)
    (column,) = target.columns
    own, own_names = codes(split.utterances, column)
    is_foreign = np.array([name in foreign for name in own_names] + [False])[own]
    message = f"have {column} {', '.join(foreign)}, which is not known here and taken as missing"
    report_rows(split, is_foreign, message)
    ids = group_ids(split, column, labels)
    unknown = np.flatnonzero((own >= 0) & (ids < 0) & ~is_foreign)
    if len(unknown):
        position = int(unknown[0])
        raise UsageError(
            f"{split.file}: {_row_prefix(split, position)}{split.utterances[position].id}: "
            f"{column} {own_names[int(own[position])]!r} is not one of the labels "
            f"{', '.join(labels)}; correct the row, or the label set in {CORPUS_FILE}",
            "label-unknown",
        )
    ids[is_foreign] = -1
    return ids


def _shares(split: Split, labels: Sequence[str]) -> np.ndarray:
    """Return the shares of the votes for the labels, (N, K) float64."""
    if (unknown := unknown_votes(split.utterances, labels)) is not None:
        position, name = unknown
        raise UsageError(
            f"{split.file}: {_row_prefix(split, position)}{split.utterances[position].id}: votes "
            f"for {name!r}, which is not one of the labels {', '.join(labels)}; correct the row, "
            f"or the label set in {CORPUS_FILE}; {OTHER} is what is no label",
            "label-unknown",
        )
    return vote_shares(split.utterances, labels)


def _row_prefix(split: Split, position: int) -> str:
    """Name the line of the file, of which the header is the first; legacy rows are joined ones."""
    return "" if split.tokens else f"row {position + 2}: "
