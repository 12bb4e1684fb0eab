"""Losses as pure functions, without state and without a reduction over the batch.

They compute in float32 (float64 if the logits or values are float64), whatever the precision of the
model, and return one loss per utterance, (B,): the criterion chooses sum or mean. Seven are defined
over the batch: :func:`concordance_loss` returns one loss per axis, (A,), :func:`dist_intra` one per
class, (K,), and :func:`supervised_contrastive`, :func:`prototypical_contrastive`,
:func:`view_contrastive`, :func:`central_moment_discrepancy` and :func:`orthogonality` a scalar.
A class target is an id in [0, K); a NaN in a real-valued target is a missing value.
"""

from emo_fairseq.losses.classification import (
    CLASS_WEIGHTINGS,
    RowLoss,
    binary_pairs,
    class_weights_from_counts,
    class_weights_from_difficulty,
    cross_entropy,
    focal,
    soft_cross_entropy,
    soft_divergence,
)
from emo_fairseq.losses.consistency import squared_difference, symmetric_divergence
from emo_fairseq.losses.contrastive import (
    WEIGHTINGS,
    contrastive_weights,
    supervised_contrastive,
)
from emo_fairseq.losses.distillation import (
    CORRELATION_FLOOR,
    dist_inter,
    dist_intra,
    teacher_divergence,
    teacher_squared_error,
)
from emo_fairseq.losses.mixup import Mix, draw_mix, mix_embeddings, mixed_loss
from emo_fairseq.losses.multitask import Likelihood, uncertainty_weighting
from emo_fairseq.losses.pretraining import (
    masked_token_losses,
    matched_views,
    momentum_contrastive,
    view_contrastive,
)
from emo_fairseq.losses.prototypical import prototypical_contrastive
from emo_fairseq.losses.regression import (
    absolute_error,
    axis_mean,
    concordance_loss,
    squared_error,
)
from emo_fairseq.losses.subspaces import central_moment_discrepancy, orthogonality

__all__ = [
    "CLASS_WEIGHTINGS",
    "CORRELATION_FLOOR",
    "WEIGHTINGS",
    "Likelihood",
    "Mix",
    "RowLoss",
    "absolute_error",
    "axis_mean",
    "binary_pairs",
    "central_moment_discrepancy",
    "class_weights_from_counts",
    "class_weights_from_difficulty",
    "concordance_loss",
    "contrastive_weights",
    "cross_entropy",
    "dist_inter",
    "dist_intra",
    "draw_mix",
    "focal",
    "masked_token_losses",
    "matched_views",
    "mix_embeddings",
    "mixed_loss",
    "momentum_contrastive",
    "orthogonality",
    "prototypical_contrastive",
    "soft_cross_entropy",
    "soft_divergence",
    "squared_difference",
    "squared_error",
    "supervised_contrastive",
    "symmetric_divergence",
    "teacher_divergence",
    "teacher_squared_error",
    "uncertainty_weighting",
    "view_contrastive",
]
