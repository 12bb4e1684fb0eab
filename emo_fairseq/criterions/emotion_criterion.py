"""The shell that all criterions share: a loss per utterance in, fairseq's triple out."""

from collections.abc import Sequence
from typing import Any

import torch
from fairseq.criterions import FairseqCriterion
from fairseq.logging import metrics
from torch import Tensor

from emo_fairseq.criterions.scoring import N_ROWS, SCORERS, of_case
from emo_fairseq.errors import UsageError
from emo_fairseq.targets import TargetKind


class EmotionCriterion(FairseqCriterion):
    """Subclasses say which targets they serve and what an utterance's loss is.

    Args:
        task: gives ``target``, ``labels`` and ``cfg.save_predictions``.
    """

    serves: frozenset[TargetKind]
    loss_unit = 1.0  # the logged loss is in this unit: classification logs bits, as fairseq does

    def __init__(self, task: Any) -> None:
        super().__init__(task)
        if task.target.kind not in self.serves:
            raise UsageError(
                f"--target {task.target.name} is {task.target.kind.value}, which this criterion "
                "does not serve; --criterion emotion_prediction_cri picks the one that does"
            )
        self.scorer = SCORERS[task.target.kind](task.target, task.labels)

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """(B, n_outputs) and the target -> (B,) loss of each utterance."""
        raise NotImplementedError

    def try_options(self, target: Tensor, n_outputs: int) -> None:
        """Compute a loss at set-up, so that an option out of range is refused before training.

        Raises:
            UsageError: the loss does not take its options.
        """
        try:
            self.losses(torch.zeros(len(target), n_outputs), target)
        except ValueError as error:
            raise UsageError(f"an option of the loss is out of range: {error}") from error

    def weights(self, target: Tensor) -> Tensor | None:
        """What each utterance counts in the mean loss, (B,); None = 1 each."""
        return None

    def forward(
        self, model: Any, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, Tensor | int, dict[str, Any]]:
        output = model(**sample["net_input"])
        target = sample["target"]
        loss = self.losses(output.logits, target).sum()
        weights = self.weights(target)
        sample_size = len(target) if weights is None else weights.sum()
        logits = output.logits.detach()
        logging_output = {
            "loss": loss.detach(),
            "nsentences": sample["nsentences"],
            "ntokens": sample["ntokens"],
            "sample_size": sample_size,
            **self.scorer.statistics(target, logits),
        }
        if "case" in sample and not self.training:
            logging_output |= self._statistics_by_case(sample, target, logits)
        if self.task.cfg.save_predictions and not self.training:
            rows = self.scorer.prediction_rows(target, logits)
            logging_output["predictions"] = [
                {"id": name, "split": sample["split"], **row}
                for name, row in zip(sample["utterance_id"], rows, strict=True)
            ]
        return loss, sample_size, logging_output

    def _statistics_by_case(
        self, sample: dict[str, Any], target: Tensor, logits: Tensor
    ) -> dict[str, Tensor]:
        """The same statistics of the rows that have the same modalities.

        Of every case of the split, rows or no rows: ranks add up what bears the same names.
        """
        found: dict[str, Tensor] = {}
        for case in sample["cases"]:
            rows = torch.tensor([name == case for name in sample["case"]], device=logits.device)
            statistics = self.scorer.statistics(target[rows], logits[rows])
            found |= {of_case(name, case): value for name, value in statistics.items()}
            found[of_case(N_ROWS, case)] = rows.sum()
        return found

    @classmethod
    def reduce_metrics(cls, logging_outputs: Sequence[dict[str, Any]]) -> None:
        """Log the mean loss. The task logs the metrics, since it knows the names of the labels."""
        loss = sum(float(output.get("loss", 0.0)) for output in logging_outputs)
        sample_size = sum(float(output.get("sample_size", 0.0)) for output in logging_outputs)
        if sample_size > 0:
            mean = loss / sample_size / cls.loss_unit
            metrics.log_scalar("loss", mean, sample_size, priority=0, round=4)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        return True
