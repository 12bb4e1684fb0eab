"""MISA's terms: draw shared subspaces together, keep private ones apart, reconstruct modalities."""

from dataclasses import dataclass
from itertools import combinations
from typing import Self

import torch
from fairseq.dataclass import FairseqDataclass
from torch import Tensor

from emo_fairseq import losses
from emo_fairseq.criterions.scoring import mean_of
from emo_fairseq.criterions.task_protocol import EmotionTask
from emo_fairseq.criterions.terms.term import Statistics, Term, TrainingBatch
from emo_fairseq.option_values import MISA
from emo_fairseq.options.conditions import Condition
from emo_fairseq.options.option import NOT_NEGATIVE, option

_HAS_SUBSPACES = Condition(
    lambda context: str(context.model.fusion) == MISA,
    f"--fusion is not {MISA}",
    needs="model",
)


@dataclass
class SubspacesConfig(FairseqDataclass):
    """The weights of the terms of ``--fusion misa``; defaults are the authors'."""

    misa_similarity_weight: float = option(
        1.0,
        "weight of the distance between the shared vectors of two modalities",
        within=NOT_NEGATIVE,
        acts=_HAS_SUBSPACES,
    )
    misa_difference_weight: float = option(
        0.3,
        "weight of the overlap of private vectors with shared ones and with each other",
        within=NOT_NEGATIVE,
        acts=_HAS_SUBSPACES,
    )
    misa_reconstruction_weight: float = option(
        1.0,
        "weight of the squared error of modalities reconstructed from both their vectors",
        within=NOT_NEGATIVE,
        acts=_HAS_SUBSPACES,
    )


class Subspaces(Term):
    """The three losses of MISA (Hazarika et al. 2020, eq. 7 to 11), over the rows of the batch.

    A row counts where it has the modality; between two modalities, where it has both.

    Args:
        similarity_weight: of the mean over pairs of modalities of
            :func:`emo_fairseq.losses.central_moment_discrepancy`.
        difference_weight: of the sum of :func:`emo_fairseq.losses.orthogonality` over modalities,
            shared with private, and over pairs, private with private.
        reconstruction_weight: of the mean squared error, averaged over the modalities.
    """

    def __init__(
        self, similarity_weight: float, difference_weight: float, reconstruction_weight: float
    ) -> None:
        super().__init__()
        self.weights = {
            "misa_similarity_loss": similarity_weight,
            "misa_difference_loss": difference_weight,
            "misa_reconstruction_loss": reconstruction_weight,
        }

    @classmethod
    def from_options(cls, cfg: SubspacesConfig, task: EmotionTask) -> Self:
        return cls(
            cfg.misa_similarity_weight, cfg.misa_difference_weight, cfg.misa_reconstruction_weight
        )

    def forward(self, batch: TrainingBatch) -> tuple[Tensor, Statistics]:
        parts, n_rows = batch.output.parts, len(batch.losses)
        values = {
            "misa_similarity_loss": _similarity(parts["shared"], parts["absent"]),
            "misa_difference_loss": _difference(parts["shared"], parts["private"], parts["absent"]),
            "misa_reconstruction_loss": _reconstruction(
                parts["projected"], parts["reconstructed"], parts["absent"]
            ),
        }
        added = batch.losses.new_zeros(())
        statistics: Statistics = {}
        for name, value in values.items():
            # One value for the batch counts as the mean over its rows.
            added = added + self.weights[name] * batch.primary.mean_weight * n_rows * value
            statistics |= mean_of(name, n_rows * value.detach(), n_rows)
        return added, statistics


def _similarity(shared: Tensor, absent: Tensor) -> Tensor:
    pairs = list(combinations(range(shared.size(1)), 2))
    values = [
        losses.central_moment_discrepancy(shared[both, first], shared[both, second])
        for first, second in pairs
        for both in [~(absent[:, first] | absent[:, second])]
    ]
    return torch.stack(values).mean() if values else shared.sum() * 0.0


def _difference(shared: Tensor, private: Tensor, absent: Tensor) -> Tensor:
    present = ~absent
    values = [
        losses.orthogonality(private[rows, number], shared[rows, number])
        for number, rows in enumerate(present.unbind(dim=1))
    ]
    values += [
        losses.orthogonality(private[both, first], private[both, second])
        for first, second in combinations(range(private.size(1)), 2)
        for both in [present[:, first] & present[:, second]]
    ]
    return torch.stack(values).sum()


def _reconstruction(projected: Tensor, reconstructed: Tensor, absent: Tensor) -> Tensor:
    squares = (projected - reconstructed).square().mean(dim=2)  # B x M
    present = (~absent).to(squares.dtype)
    of_modalities = (squares * present).sum(dim=0) / present.sum(dim=0).clamp_min(1.0)
    return of_modalities.mean()
