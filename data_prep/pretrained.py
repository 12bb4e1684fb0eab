"""Pretrained models that data_prep runs. The one place where it imports `emo_fairseq`.

Preparing a corpus needs neither torch nor a model. The functions here import them when a command
names a pretrained encoder or quantizer.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emo_fairseq.models.feature_extraction import PretrainedFeatures
    from emo_fairseq.pretrained.fairseq_vq import VqWav2VecQuantizer


def pretrained_features(**options: Any) -> PretrainedFeatures:
    """Return frames of an encoder over the splits of a data dir.

    Args:
        options: see :class:`emo_fairseq.models.feature_extraction.PretrainedFeatures`.
    """
    from emo_fairseq.models.feature_extraction import PretrainedFeatures

    return PretrainedFeatures(**options)


def load_vq_wav2vec(checkpoint: str | Path) -> VqWav2VecQuantizer:
    """Load the quantizer of a vq-wav2vec checkpoint.

    Raises:
        CodedError: the file is not a checkpoint of vq-wav2vec.
    """
    from emo_fairseq.pretrained.fairseq_vq import VqWav2VecQuantizer

    return VqWav2VecQuantizer.from_checkpoint(checkpoint)
