"""Numbers of half precision: ``--bf16`` without a TPU, and no ``--amp``."""

import importlib.util
from typing import Any

from omegaconf import open_dict

from emo_fairseq.errors import UsageError


def apply_precision(cfg: Any) -> None:
    """Keep ``--bf16`` from implying a TPU, and refuse ``--amp``.

    Raises:
        UsageError: ``--amp`` is given.
    """
    if cfg.common.amp:
        # fairseq's optimizer for it divides the gradients by the loss scale twice.
        raise UsageError(
            "--amp: fairseq scales the gradients down twice under it, so that nothing is "
            "learned; use --bf16, or --fp16 --fp16-no-flatten-grads",
            "half-precision-unsupported",
        )
    if cfg.common.bf16 and importlib.util.find_spec("torch_xla") is None:
        with open_dict(cfg):
            # Which fairseq takes --bf16 to imply, and would then not join the ranks of GPUs.
            cfg.common.tpu = cfg.distributed_training.tpu = False
