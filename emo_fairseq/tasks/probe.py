"""``--probe``: a linear layer on pooled outputs of frozen encoders, solved in place of a training.

The strength of its regularization is chosen by ``--best-checkpoint-metric`` on the split that
selects checkpoints. The vectors are standardized by the rows that the layer is solved on, and the
standardization is folded into its weights, so that the model is one of fairseq's like any other.
"""

import logging
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from fairseq.logging import metrics as fairseq_metrics
from torch import Tensor

from emo_fairseq import metrics
from emo_fairseq.criterions.emotion_criterion import EmotionCriterion
from emo_fairseq.criterions.metric_logging import log_metrics
from emo_fairseq.data.dialogue_dataset import EmotionDataset
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.names import is_larger_better
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.modules.fusion import ConcatFusion
from emo_fairseq.targets import TargetKind
from emo_fairseq.tasks.predicting import batches_of, read_batch, run_batch

if TYPE_CHECKING:  # scikit-learn takes a second to import, and few runs have a probe
    from emo_fairseq.training.linear_probe import LinearLayer, Standardization

logger = logging.getLogger(__name__)

_CLEARLY = 1e-3  # by how much a metric is better


class Pooled(NamedTuple):
    """The rows of a split as the head reads them.

    Attributes:
        vectors: (N, D) float64.
        present: (N, D) bool, False where a row lacks the modality of a dimension.
        truth: (N,) label ids, or (N, A) numbers, NaN = missing.
    """

    vectors: npt.NDArray[np.float64]
    present: npt.NDArray[np.bool_]
    truth: Tensor

    def joined(self, other: "Pooled") -> "Pooled":
        """Return these rows and those of another split."""
        return Pooled(
            np.concatenate([self.vectors, other.vectors]),
            np.concatenate([self.present, other.present]),
            torch.cat([self.truth, other.truth]),
        )


def pool_rows(model: RobertaEMOModel, dataset: EmotionDataset, device: torch.device) -> Pooled:
    """Run encoders, poolings and concatenation over a split.

    Args:
        model: with a linear head, and so with the pooled vector as its embedding.
        dataset: that was not built for training.
        device: that the model is on.
    """
    assert isinstance(model.fusion, ConcatFusion)
    widths = {name: len(vector) for name, vector in model.fusion.missing.items()}
    order, vectors, present, truth = [], [], [], []
    for rows in batches_of(dataset):
        batch = read_batch(dataset, rows)
        vectors.append(run_batch(model, batch, device).embedding.double().cpu().numpy())
        flags = [
            np.repeat(batch["net_input"][name]["present"].numpy()[:, None], width, axis=1)
            for name, width in widths.items()
        ]
        present.append(np.concatenate(flags, axis=1))
        truth.append(batch["target"])
        order.extend(rows.tolist())
    in_order = np.argsort(order)  # of the manifest, and so of no batch
    return Pooled(
        np.concatenate(vectors)[in_order],
        np.concatenate(present)[in_order],
        torch.cat(truth)[torch.from_numpy(in_order)],
    )


class Solution(NamedTuple):
    """A layer of standardized vectors, and how these were standardized."""

    layer: "LinearLayer"
    standardization: "Standardization"

    def predict(self, rows: Pooled) -> Tensor:
        """Return the outputs (N, n_outputs) of rows."""
        vectors = self.standardization.apply(rows.vectors, rows.present)
        return torch.from_numpy(self.layer(vectors))

    def write_to(self, model: RobertaEMOModel) -> None:
        """Set the head of a model; a modality that a row lacks counts as its mean vector."""
        folded = self.standardization.fold(self.layer)
        fusion = model.fusion
        assert isinstance(fusion, ConcatFusion)
        widths = [len(vector) for vector in fusion.missing.values()]
        means = torch.from_numpy(self.standardization.mean).split(widths)
        with torch.no_grad():
            model.head.out_proj.weight.copy_(torch.from_numpy(folded.weight))
            model.head.out_proj.bias.copy_(torch.from_numpy(folded.bias))
            for vector, mean in zip(fusion.missing.values(), means, strict=True):
                vector.copy_(mean)


def solve(
    rows: Pooled, strengths: list[float], criterion: EmotionCriterion
) -> dict[float, Solution]:
    """Solve a logistic regression of labels, or a ridge regression of numbers.

    Returns:
        The solution at each strength.
    """
    from emo_fairseq.training import linear_probe

    target, n_labels = criterion.scorer.target, len(criterion.scorer.labels)
    standardization = linear_probe.Standardization.fit(rows.vectors, rows.present)
    vectors, truth = standardization.apply(rows.vectors, rows.present), rows.truth.numpy()
    weights = criterion.primary.weights(rows.truth) if target.has_labels else None
    row_weights = None if weights is None else weights.double().cpu().numpy()

    def layer(strength: float) -> "LinearLayer":
        if target.kind is TargetKind.CONTINUOUS:
            return linear_probe.solve_numbers(vectors, truth, strength)
        if target.kind is TargetKind.DISTRIBUTION:
            voted, label, weight = _weighted_votes(rows.truth, criterion)
            return linear_probe.solve_labels(vectors[voted], label, n_labels, strength, weight)
        if target.kind is TargetKind.BINARY_PER_LABEL:
            return linear_probe.solve_questions(vectors, truth, n_labels, strength)
        return linear_probe.solve_labels(vectors, truth, n_labels, strength, row_weights)

    return {strength: Solution(layer(strength), standardization) for strength in strengths}


def _weighted_votes(
    truth: Tensor, criterion: EmotionCriterion
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return votes as weighted labels, whose weighted mean loss is that of the shares.

    Args:
        truth: (N, K + 1); see :mod:`emo_fairseq.metrics.votes`.
        criterion: has the weights of the classes.

    Returns:
        (V,) each, for every label of a row with a share: the row, the label, and its weight.
    """
    shares = metrics.shares(truth)
    labels = torch.arange(shares.shape[1])
    single = torch.cat([labels[:, None], torch.eye(len(labels))], dim=1).to(truth)  # one vote each
    weights = criterion.primary.weights(single)
    if weights is not None:
        shares = shares * weights.to(shares)
    row, label = shares.nonzero().T
    return row.numpy(), label.numpy(), shares[row, label].numpy()


def score(rows: Pooled, logits: Tensor, criterion: EmotionCriterion, metric: str) -> float:
    """Return a metric of logits (N, n_outputs), as a validation would.

    Raises:
        UsageError: it is not measured over all rows.
    """
    if metric == "loss":
        weights = criterion.primary.weights(rows.truth)
        total = len(rows.truth) if weights is None else float(weights.sum())
        return float(criterion.primary.losses(logits, rows.truth).sum()) / total
    statistics = criterion.scorer.statistics(rows.truth, logits)
    with fairseq_metrics.aggregate(new_root=True) as logged:
        log_metrics([statistics], criterion.scorer.labels)
    if metric not in logged:
        raise UsageError(
            f"--best-checkpoint-metric {metric}: --probe chooses its strength by a metric of all "
            f"rows; choose one of loss, {', '.join(x for x in logged if not x.startswith('_'))}",
            "metric-unknown",
        )
    return float(logged.get_smoothed_value(metric))


class Probe:
    """Solves the head of a model; see :mod:`emo_fairseq.compat.solved_in_one_step`.

    Args:
        strengths: ascending; of several the selecting split chooses one.
        metric: by which it does.
        train_split: builds the dataset of the train split, in order and not augmented.
        selecting_split: gives the dataset of the selecting split; None without one.
        record: gets the description of what was solved, for checkpoints, and whether the rows of
            the selecting split are among those that it was solved on.
        refits: whether :meth:`refit` is to be called.

    Raises:
        UsageError: there is no split that chooses.
    """

    def __init__(
        self,
        strengths: list[float],
        metric: str,
        train_split: Callable[[], EmotionDataset],
        selecting_split: Callable[[], EmotionDataset] | None,
        record: Callable[[dict[str, Any], bool], None],
        refits: bool,
    ) -> None:
        self._strengths, self._metric = strengths, metric
        self._train_split, self._selecting_split = train_split, selecting_split
        self._record = record
        self.refits = refits
        if selecting_split is None and (len(strengths) > 1 or refits):
            raise UsageError(
                "--probe: the valid split chooses the strength; leave --disable-validation out, or "
                "give one strength by --probe-strengths, and no --refit",
                "probe-without-valid-split",
            )
        self._refit: Callable[[RobertaEMOModel], None] | None = None

    def solve(self, model: RobertaEMOModel, criterion: Any) -> None:
        """Solve the head on the train split, with the strength that the selecting split chooses.

        Raises:
            UsageError: the criterion is none of this plugin's or has terms, or the metric is
                undefined at every strength.
        """
        if not isinstance(criterion, EmotionCriterion) or len(criterion.terms):
            raise UsageError(
                f"--criterion {type(criterion).__name__}: --probe is a logistic or ridge "
                "regression; use emotion_classification or emotion_regression, without terms",
                "criterion-unfit",
            )
        device = next(model.parameters()).device
        rows = pool_rows(model, self._train_split(), device)
        solutions = solve(rows, self._strengths, criterion)
        strength = self._strengths[0]
        if self._selecting_split is not None:
            selecting = pool_rows(model, self._selecting_split(), device)
            strength = self._choose(selecting, solutions, criterion)
            both = rows.joined(selecting)
            self._refit = lambda model: self._write(
                model, both, strength, solve(both, [strength], criterion)[strength], refitted=True
            )
        self._write(model, rows, strength, solutions[strength])

    def refit(self, model: RobertaEMOModel) -> None:
        """Solve the head on the rows of both splits, with the strength that was chosen."""
        assert self._refit is not None
        self._refit(model)

    def _write(
        self,
        model: RobertaEMOModel,
        rows: Pooled,
        strength: float,
        solution: Solution,
        refitted: bool = False,
    ) -> None:
        solution.write_to(model)
        n_rows, n_dims = rows.vectors.shape
        logger.info(
            "--probe: solved at strength %g on %d rows of %d dimensions%s",
            strength,
            n_rows,
            n_dims,
            ", those of the selecting split among them" if refitted else "",
        )
        description = {"strength": strength, "rows": n_rows, "dimensions": n_dims}
        self._record({**description, "refitted": refitted}, refitted)

    def _choose(
        self, rows: Pooled, solutions: dict[float, Solution], criterion: EmotionCriterion
    ) -> float:
        values = {}
        for strength, solution in solutions.items():
            value = score(rows, solution.predict(rows), criterion, self._metric)
            logger.info("--probe: strength %g, %s %.4f", strength, self._metric, value)
            if not math.isnan(value):
                values[strength] = value
        if not values:
            raise UsageError(
                f"--best-checkpoint-metric {self._metric}: is undefined at every strength of "
                "--probe; choose another metric",
                "metric-undefined",
            )
        sign = 1.0 if is_larger_better(self._metric) else -1.0
        # Of equal values the strongest regularization.
        best = max(values, key=lambda strength: (sign * values[strength], strength))
        if _is_at_an_open_end(best, values):
            logger.warning(
                "--probe: the strength %g that %s chooses is at the end of --probe-strengths; a "
                "better one may be beyond it",
                best,
                self._metric,
            )
        return best


def _is_at_an_open_end(best: float, values: Mapping[float, float]) -> bool:
    """Return whether the best strength is the first or last, and clearly better than the next."""
    strengths = sorted(values)
    for end, neighbor in ((0, 1), (-1, -2)):
        if len(strengths) > 1 and best == strengths[end]:
            return abs(values[best] - values[strengths[neighbor]]) > _CLEARLY
    return False
