"""The interface of a term of the loss: what it reads of a training step, and what it returns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor, nn

from emo_fairseq.criterions.primary_loss import PrimaryLoss
from emo_fairseq.criterions.task_protocol import EmotionTask

Statistics = dict[str, Tensor]  # summable; see emo_fairseq.criterions.scoring
PRIMARY_LOSS = "primary_loss"  # its name in the log


@dataclass(frozen=True)
class TrainingBatch:
    """One training step of one rank.

    Attributes:
        model: in training mode.
        sample: the batch, see :class:`emo_fairseq.data.utterance_dataset.UtteranceDataset`.
        output: of the model, see :class:`emo_fairseq.models.roberta_emo.EmotionOutput`.
        losses: (B,), the primary losses.
        sample_size: the divisor of this rank's sum of losses; fairseq adds it up over the ranks.
        primary: computes the losses of other logits.
    """

    model: Any
    sample: Mapping[str, Any]
    output: Any
    losses: Tensor
    sample_size: Tensor | int
    primary: PrimaryLoss

    @property
    def annotations(self) -> Mapping[str, Tensor]:
        """Return what terms requested by ``task.annotate``, (B, ...) each."""
        return self.sample.get("annotations", {})

    @property
    def update(self) -> int:
        """Return the number of updates before this step."""
        return self.sample.get("update", 0)

    @property
    def is_ignored(self) -> bool:
        """Return whether the rows are a repetition, which keeps this rank in step with others."""
        return self.sample.get("is_ignored", False)


class Term(nn.Module):
    """A term of the loss. Its parameters are trained, and saved with the criterion.

    What it needs of each utterance beyond input and truth it requests from the task, by
    ``task.annotate``, when it is built.

    Attributes:
        runs_model: whether it runs the model on the batch once more.
    """

    runs_model = False

    @classmethod
    def from_options(cls, cfg: Any, task: EmotionTask) -> Self:
        """Build the term.

        Args:
            cfg: has the options that the term's row in
                :data:`emo_fairseq.criterions.terms.registry.TERMS` names.
            task: the task that is trained.

        Raises:
            UsageError: options or data that the term does not work with.
        """
        raise NotImplementedError

    def forward(self, batch: TrainingBatch) -> tuple[Tensor, Statistics]:
        """Return what is added to the sum of the primary losses, and the statistics to log.

        A loss of each utterance is summed and multiplied by ``batch.primary.mean_weight``. It is
        logged as its mean, without its weight, in nats: where each utterance has what the term
        needs, the logged loss is the primary loss + weight x term + …
        """
        raise NotImplementedError
