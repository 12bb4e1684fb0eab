"""Criterions without a model: a stub of the task, logits and truth, what the trainer calls."""

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from fairseq.logging import metrics as fairseq_metrics
from torch import Tensor

from emo_fairseq.criterions.emotion_criterion import EmotionCriterion
from emo_fairseq.criterions.registered import (
    EmotionClassificationConfig,
    EmotionClassificationCriterion,
    EmotionRegressionConfig,
    EmotionRegressionCriterion,
)
from emo_fairseq.models.roberta_emo import EmotionOutput
from emo_fairseq.targets import TARGETS

LABELS = ["neutral", "sad", "angry", "happy"]
COUNTS = [40, 10, 5, 20]
N_ROWS = 10


def task_of(target: str, save_predictions: str | None = None) -> Any:
    chosen = TARGETS[target]
    labels = LABELS if chosen.has_labels else list(chosen.columns)
    return SimpleNamespace(
        target=chosen,
        labels=labels,
        class_counts=COUNTS,
        n_outputs=chosen.n_outputs(len(labels)),
        target_dictionary=None,
        is_training=False,
        auxiliary={},
        keeps_predictions=save_predictions is not None,
        keeps_embeddings=False,
    )


def classification(target: str = "emotion", **options: Any) -> EmotionCriterion:
    return EmotionClassificationCriterion(EmotionClassificationConfig(**options), task_of(target))


def regression(target: str = "vad", **options: Any) -> EmotionCriterion:
    return EmotionRegressionCriterion(EmotionRegressionConfig(**options), task_of(target))


def sample_of(target: Tensor) -> dict[str, Any]:
    return {
        "net_input": {},
        "target": target,
        "nsentences": len(target),
        "ntokens": len(target),
        "utterance_id": [f"utt{row}" for row in range(len(target))],
        "split": "test",
    }


def run(criterion: EmotionCriterion, logits: Tensor, target: Tensor) -> Any:
    """What the trainer calls: loss, sample size and logging output of a model's logits."""
    return criterion(lambda: EmotionOutput(logits, logits), sample_of(target))


def class_batch(columns: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2.0 * torch.randn(N_ROWS, columns, generator=generator)
    return logits, torch.randint(0, 4, (N_ROWS,), generator=generator)


def value_batch(columns: int = 3, missing: bool = True) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(N_ROWS, columns, generator=generator)
    truth = torch.rand(N_ROWS, columns, generator=generator)
    if missing:
        truth[2, 0] = truth[4, :] = math.nan
    return values, truth


def logged(criterion: EmotionCriterion, outputs: Sequence[dict[str, Any]]) -> float:
    with fairseq_metrics.aggregate(new_root=True) as figures:
        type(criterion).reduce_metrics(outputs)
    return figures.get_smoothed_values()["loss"]
