"""The base of all criterions: primary loss, terms, and the statistics that fairseq logs."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from fairseq.criterions import FairseqCriterion
from fairseq.logging import metrics
from torch import Tensor, nn

from emo_fairseq.criterions.primary_loss import PrimaryLoss
from emo_fairseq.criterions.scoring import N_ROWS, Scorer, mean_of, of_case
from emo_fairseq.criterions.task_protocol import EmotionTask, RunsFrozenOnce
from emo_fairseq.criterions.terms.term import PRIMARY_LOSS, Term, TrainingBatch
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.embeddings import Embedded
from emo_fairseq.targets import Target, TargetKind


class EmotionCriterion(FairseqCriterion):
    """A primary loss, and in training the terms that are added to it.

    Scoring has no terms: most of them depend on the rest of the batch, and metrics are the same at
    any batch size.

    Args:
        task: has the target, and the options of scoring.
        primary: the loss of the target.
        terms: added to the sum of its losses in training.
    """

    def __init__(self, task: EmotionTask, primary: PrimaryLoss, terms: Sequence[Term] = ()) -> None:
        super().__init__(task)
        self.task: EmotionTask = task
        self.primary = primary
        self.terms = nn.ModuleList(terms)
        self.scorer = Scorer(task.target, task.labels)
        self.auxiliary_scorers = {
            name: Scorer(other.target, other.labels) for name, other in task.auxiliary.items()
        }

    def forward(
        self, model: Any, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, Tensor | int, dict[str, Any]]:
        if self.training and any(term.runs_model for term in self.terms):
            sample = _with_frozen_outputs(model, sample)
        output = model(**sample["net_input"])
        truth = sample["target"]
        losses = self.primary.losses(output.logits, truth)
        weights = self.primary.weights(truth)
        sample_size = len(truth) if weights is None else weights.sum()
        loss, logged = losses.sum(), {}
        if self.training and self.terms:
            batch = TrainingBatch(model, sample, output, losses, sample_size, self.primary)
            logged = mean_of(PRIMARY_LOSS, loss.detach(), sample_size)
            for term in self.terms:
                added, statistics = term(batch)
                loss = loss + added
                logged |= statistics
        logits = output.logits.detach()
        logging_output = {
            "loss": loss.detach(),
            "nsentences": sample["nsentences"],
            "ntokens": sample["ntokens"],
            "sample_size": sample_size,
            **self.scorer.statistics(truth, logits),
            **self._auxiliary_statistics(sample, output.auxiliary),
            **logged,
        }
        if "case" in sample and not self.training:
            logging_output |= self._statistics_by_case(sample, truth, logits)
        if self.task.keeps_predictions and not self.training:
            rows = self.scorer.prediction_rows(truth, logits)
            logging_output["predictions"] = [
                {"id": name, "split": sample["split"], **row}
                for name, row in zip(sample["utterance_id"], rows, strict=True)
            ]
        if self.task.keeps_embeddings and not self.training:
            logging_output["embeddings"] = self.embedded(sample, output)
        return loss, sample_size, logging_output

    def embedded(self, sample: Mapping[str, Any], output: Any) -> list[Embedded]:
        """Return the embedding of each utterance of a batch, with its id."""
        vectors = output.embedding.detach().float().cpu().numpy()
        return [
            Embedded(name, sample["split"], vector)
            for name, vector in zip(sample["utterance_id"], vectors, strict=True)
        ]

    def empty_statistics(self) -> dict[str, Tensor]:
        """Return the statistics of a batch without rows, which have the names of all metrics."""
        scorers = {"": (self.scorer, self.task.target, self.task.n_outputs)}
        for name, other in self.task.auxiliary.items():
            scorers[name] = self.auxiliary_scorers[name], other.target, other.n_outputs
        return {
            of_case(key, case): value
            for case, (scorer, target, width) in scorers.items()
            for key, value in scorer.statistics(
                _no_truth(target, width), torch.zeros(0, width)
            ).items()
        }

    def _auxiliary_statistics(self, sample: dict[str, Any], outputs: Any) -> dict[str, Tensor]:
        """Return the statistics of the auxiliary targets, each with its name: ``ccc@vad``."""
        by_name: dict[str, Tensor] = {}
        for name, scorer in self.auxiliary_scorers.items():
            truth = sample["annotations"][name]
            known = truth >= 0 if scorer.target.has_labels else None
            statistics = scorer.statistics(truth, outputs[name].detach(), known)
            by_name |= {of_case(key, name): value for key, value in statistics.items()}
        return by_name

    def _statistics_by_case(
        self, sample: dict[str, Any], truth: Tensor, logits: Tensor
    ) -> dict[str, Tensor]:
        """Return the statistics of the rows that have the same modalities, by these.

        Every case of the split has its keys, with rows in the batch or without: ranks add them up.
        """
        by_name: dict[str, Tensor] = {}
        for case in sample["cases"]:
            rows = torch.tensor([name == case for name in sample["case"]], device=logits.device)
            statistics = self.scorer.statistics(truth[rows], logits[rows])
            by_name |= {of_case(name, case): value for name, value in statistics.items()}
            by_name[of_case(N_ROWS, case)] = rows.sum()
        return by_name

    def load_state_dict(
        self, state_dict: Mapping[str, Tensor] | None, *args: Any, **kwargs: Any
    ) -> Any:
        """Load the parameters of the terms.

        Raises:
            UsageError: the checkpoint has other terms.
        """
        shapes = {} if state_dict is None else {k: v.shape for k, v in state_dict.items()}
        if shapes != {key: value.shape for key, value in self.state_dict().items()}:
            raise UsageError(
                "the checkpoint was trained with other terms of the loss, or other sizes of them; "
                "resume with the options that it was trained with, or start afresh with another "
                "--save-dir and --init-from",
                "terms-other",
            )
        return super().load_state_dict(state_dict, *args, **kwargs)

    @classmethod
    def reduce_metrics(cls, logging_outputs: Sequence[dict[str, Any]]) -> None:
        """Log the mean loss, in nats where it is a cross-entropy, as are all terms beside it.

        The log therefore adds up: loss = primary loss + weight x term + …; fairseq's bits are a
        convention of language models. The task logs the metrics: it has the labels' names.
        """
        loss = sum(float(output.get("loss", 0.0)) for output in logging_outputs)
        sample_size = sum(float(output.get("sample_size", 0.0)) for output in logging_outputs)
        if sample_size > 0:
            metrics.log_scalar("loss", loss / sample_size, sample_size, priority=0, round=4)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        return True


def _with_frozen_outputs(model: Any, sample: dict[str, Any]) -> dict[str, Any]:
    """Return a batch for several passes, in which what is frozen of a model has run once.

    On several ranks it runs in each pass: a wrapper may hold the parameters in parts.
    """
    if torch.distributed.is_initialized() or not isinstance(model, RunsFrozenOnce):
        return sample
    return {**sample, "net_input": model.encode_frozen_once(sample["net_input"])}


def _no_truth(target: Target, n_outputs: int) -> Tensor:
    """Return the truth of no rows, in the form of the target; see :class:`.scoring.Scorer`."""
    if target.kind is TargetKind.DISTRIBUTION:
        return torch.zeros(0, 1 + n_outputs, dtype=torch.float64)
    if target.has_labels:
        return torch.zeros(0, dtype=torch.int64)
    return torch.zeros(0, len(target.columns), dtype=torch.float64)
