"""What a term sees of a training step, and what it gives back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from emo_fairseq.criterions.primary import PrimaryLoss

Statistics = dict[str, Tensor]  # summable; see emo_fairseq.criterions.scoring
PRIMARY_LOSS = "primary_loss"  # its name in the log


@dataclass(frozen=True)
class TrainingBatch:
    """One training step of one rank.

    Attributes:
        model: in training mode.
        sample: the batch, see :class:`emo_fairseq.data.raw_audio_text_dataset.RawAudioTextDataset`.
        output: what the model made of it.
        losses: (B,), the primary losses.
        sample_size: what fairseq divides the sum of the losses by, over all ranks.
        primary: gives losses of other logits.
    """

    model: Any
    sample: Mapping[str, Any]
    output: Any
    losses: Tensor
    sample_size: Tensor | int
    primary: PrimaryLoss

    @property
    def annotations(self) -> Mapping[str, Tensor]:
        """What terms asked the task for, (B, ...) each."""
        return self.sample.get("annotations", {})

    @property
    def update(self) -> int:
        """Updates made before this step."""
        return self.sample.get("update", 0)

    @property
    def is_ignored(self) -> bool:
        """Whether this rank only keeps step with others: its rows have been seen in this epoch."""
        return self.sample.get("is_ignored", False)


class Term(nn.Module):
    """A term of the loss. Its parameters are trained, and saved with the criterion.

    What it needs of each utterance beyond input and truth it asks the task for, by
    ``task.annotate``, when it is built.
    """

    def forward(self, batch: TrainingBatch) -> tuple[Tensor, Statistics]:
        """What is added to the sum of the primary losses, and what is logged.

        A loss of each utterance is summed and multiplied by ``batch.primary.mean_weight``. It is
        logged as its mean, without its weight, in nats: where each utterance has what the term
        needs, the logged loss is the primary loss + weight x term + …
        """
        raise NotImplementedError
