"""Mixup of embeddings: the head learns on the way from one utterance to another."""

from torch import Tensor

from emo_fairseq import losses
from emo_fairseq.criterions.scoring import mean_of
from emo_fairseq.criterions.terms.term import Statistics, Term, TrainingBatch


class EmbeddingMixup(Term):
    """The primary loss of mixed embeddings in place of the plain one (Verma et al. 2019).

    Args:
        alpha: of the Beta distribution that the share is drawn from.
    """

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, batch: TrainingBatch) -> tuple[Tensor, Statistics]:
        embedding, target = batch.output.embedding, batch.sample["target"]
        drawn = losses.draw_mix(len(embedding), self.alpha, embedding.device)
        logits = batch.model.head(losses.mix_embeddings(embedding, drawn))
        rows = losses.mixed_loss(batch.primary.losses, logits, target, drawn)
        # The plain losses are in the sum already.
        return (rows - batch.losses).sum(), mean_of(
            "mixup_loss", rows.detach().sum(), batch.sample_size
        )
