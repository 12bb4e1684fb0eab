"""Numbers of half precision: ``--bf16`` without a TPU, and no ``--amp``."""

import importlib.util
from typing import Any

from omegaconf import open_dict

from emo_fairseq.errors import UsageError


def settle_precision(cfg: Any) -> None:
    """Take ``--bf16`` for what it is, and refuse ``--amp``.

    Raises:
        UsageError: ``--amp`` is given.
    """
    if cfg.common.amp:
        # Its optimizer divides the gradients by the loss scale twice, in fairseq itself.
        raise UsageError(
            "--amp: fairseq scales the gradients down twice under it, so that nothing is "
            "learned; use --bf16, or --fp16 --fp16-no-flatten-grads",
            "half-precision-unsupported",
        )
    if cfg.common.bf16 and importlib.util.find_spec("torch_xla") is None:
        with open_dict(cfg):
            cfg.common.tpu = False  # which fairseq takes --bf16 to imply
