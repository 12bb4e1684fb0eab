"""Criterions of pretraining on rows without labels, before ``--init-from``.

``emotion_pretraining`` draws the embeddings of two views of an utterance together, and apart from
those of others (SimCLR); ``emotion_masked_lm`` lets the text encoder predict masked tokens. Both
are validated as they are trained: the views and masks of the valid split are the same every time,
and the contrastive figures depend on ``--batch-size``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairseq.criterions import register_criterion
from fairseq.dataclass import FairseqDataclass
from torch import Tensor, nn

from emo_fairseq import losses
from emo_fairseq.criterions.emotion_criterion import EmotionCriterion
from emo_fairseq.criterions.gathering import Gathered, gather_rows, sum_over_ranks
from emo_fairseq.criterions.scoring import mean_of
from emo_fairseq.criterions.task_protocol import EmotionTask
from emo_fairseq.criterions.terms.embedding_queue import EmbeddingQueue
from emo_fairseq.errors import UsageError
from emo_fairseq.losses.precision import full_precision
from emo_fairseq.modalities import TEXT
from emo_fairseq.modules.heads import MaskedTokenHead, ProjectionHead
from emo_fairseq.modules.moving_average import MovingAverage
from emo_fairseq.options.option import NOT_NEGATIVE, PROBABILITY, Range, option

MATCHED, PREDICTED = "pair_accuracy", "masked_accuracy"  # in the log


class NoPrimaryLoss:
    """The loss of no target, of which nothing is minimized."""

    likelihood = losses.Likelihood.SOFTMAX
    mean_weight = 1.0

    def losses(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return 0 of each row, (B,)."""
        return logits.sum(dim=1)  # of no logits

    def weights(self, truth: Tensor) -> None:
        """Each utterance counts the same."""


class PretrainingCriterion(EmotionCriterion):
    """What the criterions of pretraining share.

    Raises:
        UsageError: the task has a target, or nothing is trained: what is learned on top of the
            model is not part of it.
    """

    def __init__(self, name: str, metric: str, task: EmotionTask) -> None:
        if not task.target.is_none:
            raise UsageError(
                f"--criterion {name} learns from the inputs alone, and --target {task.target.name} "
                "would not be learned; leave --target out",
                "criterion-unfit",
            )
        if not task.is_training:
            raise UsageError(
                "the checkpoint was pretrained without a target, and predicts nothing that could "
                "be scored; train a model from it with --init-from",
                "model-pretrained-only",
            )
        super().__init__(task, NoPrimaryLoss())
        self.metric = metric

    def empty_statistics(self) -> dict[str, Tensor]:
        return mean_of(self.metric, 0.0, 0.0)

    def logged(
        self, sample: Mapping[str, Any], loss: Tensor, n: int, n_right: Tensor, output: Any
    ) -> dict[str, Any]:
        """Return what fairseq logs of a batch.

        Args:
            sample: the batch.
            loss: the sum that is minimized.
            n: what it is divided by.
            n_right: how many of these were right.
            output: of the model.
        """
        logging_output = {
            "loss": loss.detach(),
            "nsentences": sample["nsentences"],
            "ntokens": sample["ntokens"],
            "sample_size": n,
            **mean_of(self.metric, n_right, n),
        }
        if self.task.keeps_embeddings and not self.training:
            logging_output["embeddings"] = self.embedded(sample, output)
        return logging_output


# -- two views -------------------------------------------------------------------------------------


@dataclass
class EmotionPretrainingConfig(FairseqDataclass):
    """Contrastive pretraining of the whole model, by two views of each utterance."""

    pretraining_temperature: float = option(
        0.1, "temperature, by which cosine similarities are divided", within=Range(0.01)
    )
    pretraining_projection_dim: int = option(
        128,
        "width of the projection of the embedding before the loss (0: none)",
        within=NOT_NEGATIVE,
    )
    pretraining_queue: int = option(
        0,
        "number of views of earlier batches that are negatives, too, for small batches",
        within=NOT_NEGATIVE,
    )
    momentum_encoder: float = option(
        0.0,
        "momentum of the moving average of the model that encodes the second views, as in MoCo, "
        "such as 0.999 (0: the model itself)",
        within=PROBABILITY,
    )


@register_criterion("emotion_pretraining", dataclass=EmotionPretrainingConfig)
class EmotionPretrainingCriterion(PretrainingCriterion):
    """NT-Xent of the embeddings of two views (Chen et al. 2020, SimCLR).

    A view is the utterance with augmentations of its own, as ``--augment-*`` switch them on, and
    dropout of its own; by dropout alone it is the view of SimCSE (Gao et al. 2021). In training,
    the views of all ranks are contrasted; in validation, those of a batch.

    With ``--momentum-encoder`` it is InfoNCE of the first view, as query, and the second one, as
    key, which a moving average of the model encodes (He et al. 2020, MoCo).

    Raises:
        UsageError: a momentum without a projection, which the averages are saved with.
    """

    def __init__(self, cfg: EmotionPretrainingConfig, task: EmotionTask) -> None:
        super().__init__("emotion_pretraining", MATCHED, task)
        task.read_two_views()
        self.temperature = cfg.pretraining_temperature
        self.queue = EmbeddingQueue(task, cfg.pretraining_queue) if cfg.pretraining_queue else None
        width, projected = task.embedding_dim, cfg.pretraining_projection_dim
        self.projection = ProjectionHead(width, width, projected) if projected else nn.Identity()
        self.key_encoder: KeyEncoder | None = None
        if cfg.momentum_encoder:
            if not projected:
                raise UsageError(
                    "--momentum-encoder with --pretraining-projection-dim 0: the averages are "
                    "saved with the projection; give it a width",
                    "options-conflict",
                )
            self.key_encoder = KeyEncoder(task, self.projection, cfg.momentum_encoder)

    def forward(
        self, model: Any, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, int, dict[str, Any]]:
        output = model(**sample["net_input"])
        # A rank whose rows are a repetition contributes none, but takes part in the collectives.
        rows = slice(0, 0) if sample.get("is_ignored", False) else slice(None)
        first = self._project(output.embedding)[rows]  # (n, D)
        n_own = len(first)
        if self.key_encoder is None:
            other = model(**sample["other_view"])
            second = self._project(other.embedding)[rows]
            loss, views = self._contrast_views(first, second)
            loss = loss + self.primary.losses(other.logits, sample["target"]).sum()
        else:
            if self.training:
                self.key_encoder.follow(self.projection, sample["update"])
            keys = self.key_encoder(self.projection, sample["other_view"])[rows]
            loss, views = self._contrast_keys(first, keys)
        loss = loss + self.primary.losses(output.logits, sample["target"]).sum()
        all_first, all_second = views.tensors
        n_right = losses.matched_views(all_first, all_second, views.own).sum()
        return loss, n_own, self.logged(sample, loss, n_own, n_right, output)

    def _contrast_views(self, first: Tensor, second: Tensor) -> tuple[Tensor, Gathered]:
        """Return this rank's part of the loss, and the views of all ranks without gradients."""
        own, n_own = slice(0, len(first)), len(first)
        n: Tensor | float = n_own
        if self.training:
            (first, second), own = gather_rows([first, second])
            n = sum_over_ranks(n_own, first)
        negatives = self._negatives(second)
        loss = n * losses.view_contrastive(first, second, self.temperature, own, negatives)
        return loss, Gathered([first.detach(), second.detach()], own)

    def _contrast_keys(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Gathered]:
        """Return this rank's part of the loss, and the queries and keys of all ranks."""
        views = Gathered([queries.detach(), keys], slice(0, len(queries)))
        if self.training:
            views = gather_rows(views.tensors)
        all_keys = views.tensors[1]
        negatives = self._negatives(all_keys)
        own = losses.momentum_contrastive(queries, all_keys, self.temperature, views.own, negatives)
        return own.sum(), views

    def _project(self, embedding: Tensor) -> Tensor:
        weight = next(self.projection.parameters(), embedding)
        return full_precision(self.projection(embedding.to(weight.dtype)))

    def _negatives(self, second: Tensor) -> Tensor | None:
        """Return the views of earlier batches, and keep those of this one for later ones."""
        if self.queue is None or not self.training:
            return None
        negatives = self.queue.append_to([second.detach()])[0][len(second) :]
        self.queue.push([second])
        return negatives


class KeyEncoder(nn.Module):
    """Moving averages of the model and of the projection, by which keys are encoded."""

    def __init__(self, task: EmotionTask, projection: nn.Module, momentum: float) -> None:
        super().__init__()
        self.task = task
        self.model = MovingAverage(task.model, momentum)
        self.projection = MovingAverage(projection, momentum)

    def follow(self, projection: nn.Module, update: int) -> None:
        """Update the averages; see :meth:`.MovingAverage.follow`."""
        self.model.follow(self.task.model, update)
        self.projection.follow(projection, update)

    def forward(self, projection: nn.Module, net_input: Mapping[str, Any]) -> Tensor:
        """Return keys (B, D) without a gradient."""
        embedding = self.model(self.task.model, **net_input).embedding
        return full_precision(self.projection(projection, embedding))


# -- masked tokens ---------------------------------------------------------------------------------


@dataclass
class EmotionMaskedLMConfig(FairseqDataclass):
    """Continued pretraining of a text encoder, by masked tokens."""

    masked_lm_share: float = option(
        0.15, "share of the tokens that are predicted", within=Range(above=0, below=1)
    )


@register_criterion("emotion_masked_lm", dataclass=EmotionMaskedLMConfig)
class EmotionMaskedLMCriterion(PretrainingCriterion):
    """Cross-entropy of masked tokens (Devlin et al. 2019), by the encoder's own embeddings.

    The layers between encoder and embeddings are new, and are left behind with the criterion.
    """

    def __init__(self, cfg: EmotionMaskedLMConfig, task: EmotionTask) -> None:
        super().__init__("emotion_masked_lm", PREDICTED, task)
        task.mask_text(cfg.masked_lm_share)
        table, width = task.token_embedding(TEXT)
        self.head = MaskedTokenHead(width, *reversed(table.weight.shape))

    def forward(
        self, model: Any, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, int, dict[str, Any]]:
        text = dict(sample["net_input"][TEXT])
        truth = text.pop("masked_tokens")  # (B, T)
        output = model(**{**sample["net_input"], TEXT: text}, return_features=True)
        chosen = truth >= 0
        table, _ = self.task.token_embedding(TEXT)
        logits = self.head(output.features[TEXT][chosen], table.weight)  # (M, V)
        loss = losses.masked_token_losses(logits, truth[chosen]).sum()
        # Layers after the encoder have no part in the loss, and get gradients of 0 on every rank.
        loss = loss + self.primary.losses(output.logits, sample["target"]).sum()
        n = int(chosen.sum())
        n_right = (logits.detach().argmax(dim=1) == truth[chosen]).sum()
        return loss, n, self.logged(sample, loss, n, n_right, output)
