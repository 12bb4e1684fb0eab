"""Numbers of half precision: ``--bf16`` without a TPU, and no ``--amp``.

fairseq-train takes ``--memory-efficient-bf16`` to imply ``--bf16``; a configuration of Hydra has
either by itself, and one alone would train in single precision.
"""

import importlib.util
from typing import Any

from omegaconf import open_dict

from emo_fairseq.errors import UsageError


def apply_precision(cfg: Any) -> None:
    """Refuse ``--amp``, let a memory-efficient precision imply that precision, and none a TPU.

    Args:
        cfg: of the whole run, changed in place.

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
    for name in ("bf16", "fp16"):
        if cfg.common[f"memory_efficient_{name}"]:
            with open_dict(cfg):
                cfg.common[name] = True
                if name == "fp16":
                    cfg.distributed_training.fp16 = True
    if cfg.common.bf16 and importlib.util.find_spec("torch_xla") is None:
        with open_dict(cfg):
            # Which fairseq takes --bf16 to imply, and would then not join the ranks of GPUs.
            cfg.common.tpu = cfg.distributed_training.tpu = False
