"""What many runs said of many utterances, kept small, and the sums that figures derive from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from emo_fairseq import metrics
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.statistics import LabelPredictions, Rows, from_rows

Figures = dict[str, float]
Key = tuple[str, str]  # fold, utterance


@dataclass(frozen=True)
class Answers:
    """One run's predictions of a split, or of several folds together.

    Attributes:
        keys: (N,) fold and id of each utterance, each once.
        names: of the K labels, or of the A axes.
        has_labels: which of the two.
        truth: (N,) uint8 label numbers, or (N, A) float64, NaN = missing.
        prediction: as `truth`, none missing.
    """

    keys: tuple[Key, ...]
    names: tuple[str, ...]
    has_labels: bool
    truth: Tensor
    prediction: Tensor

    def __len__(self) -> int:
        return len(self.keys)

    def at(self, rows: Sequence[int]) -> "Answers":
        """Some of the rows."""
        keys = tuple(self.keys[row] for row in rows)
        truth, prediction = self.truth[list(rows)], self.prediction[list(rows)]
        return replace(self, keys=keys, truth=truth, prediction=prediction)

    def statistics(self) -> Tensor:
        """(N, D), which add up: flat confusions in float32, or flat moments in float64."""
        if not self.has_labels:
            pairs = [values.reshape(1, -1) for values in (self.truth, self.prediction)]
            return metrics.moments(*pairs).reshape(len(self), -1)
        n_labels = len(self.names)
        cells = self.truth.long() * n_labels + self.prediction
        rows = torch.zeros(len(self), n_labels * n_labels)  # sums are exact up to 2^24
        return rows.scatter_(1, cells[:, None], 1.0)

    def derive(self, sums: Tensor) -> Figures:
        """(D,) summed statistics -> every figure by name."""
        n = len(self.names)
        if self.has_labels:
            return metrics.label_metrics(sums.reshape(n, n).double(), self.names)
        return metrics.number_metrics(sums.reshape(n, -1), self.names)

    def figures(self) -> Figures:
        """Of all utterances; of sentiment scores the published set, too."""
        figures = self.derive(self.statistics().sum(dim=0))
        if self.names == ("sentiment_score",):
            truth, prediction = self.truth[:, 0], self.prediction[:, 0]
            figures |= metrics.cmu_metrics(metrics.cmu_statistics(truth, prediction))
        return figures


def read_answers(file: Path, fold: str = "") -> dict[str, Answers]:
    """What a predictions file holds, by split, without probabilities.

    Raises:
        UsageError: no such file, no rows, or cells that are not what ``--save-predictions`` writes.
    """
    rows = predictions.read(file)
    if not rows:
        raise UsageError(f"{file}: it has a header and no rows; score the run again")
    found = {}
    try:
        for split in sorted({row["split"] for row in rows}):
            part = [row for row in rows if row["split"] == split]
            found[split] = _of_rows(part, tuple((fold, row["id"]) for row in part))
    except ValueError as error:
        raise UsageError(f"{file}: {error}; write it again with --save-predictions") from error
    return found


def _of_rows(rows: Rows, keys: tuple[Key, ...]) -> Answers:
    system = from_rows(rows)
    if not isinstance(system, LabelPredictions):
        return Answers(keys, system.names, False, system.truth, system.prediction)
    truth, prediction = (ids.to(torch.uint8) for ids in (system.truth, system.prediction))
    return Answers(keys, system.names, True, truth, prediction)


def joined(parts: Iterable[Answers]) -> Answers:
    """Several folds as one set."""
    parts = list(parts)
    return replace(
        parts[0],
        keys=tuple(key for part in parts for key in part.keys),
        truth=torch.cat([part.truth for part in parts]),
        prediction=torch.cat([part.prediction for part in parts]),
    )


def aligned(runs: Sequence[Answers]) -> list[Answers]:
    """The rows that all runs have, in the order of the first."""
    if all(run.keys == runs[0].keys for run in runs):
        return list(runs)
    shared = set(runs[0].keys).intersection(*(run.keys for run in runs[1:]))
    keys = [key for key in runs[0].keys if key in shared]
    found = []
    for run in runs:
        row_of = {key: row for row, key in enumerate(run.keys)}
        found.append(run.at([row_of[key] for key in keys]))
    return found


def is_correct(run: Answers) -> Tensor:
    """(N,) bool, of labels."""
    return run.truth == run.prediction
