"""Numbers of half precision: ``--bf16`` without a TPU, and no ``--amp``."""

import importlib.util
from collections.abc import Callable
from typing import Any

from fairseq.distributed import utils as distributed_utils
from omegaconf import open_dict

from emo_fairseq.compat.patching import wrap
from emo_fairseq.errors import UsageError


def apply() -> None:
    """Apply all that this module says."""
    wrap(distributed_utils, "call_main", _with_sound_precision)


def _with_sound_precision(call_main: Callable[..., Any]) -> Callable[..., Any]:
    def call(cfg: Any, main: Callable[..., Any], **kwargs: Any) -> Any:
        if cfg.common.amp:
            # Its optimizer divides the gradients by the loss scale twice, in fairseq itself.
            raise UsageError(
                "--amp: fairseq scales the gradients down twice under it, so that nothing is "
                "learned; use --bf16, or --fp16 --fp16-no-flatten-grads"
            )
        if cfg.common.bf16 and importlib.util.find_spec("torch_xla") is None:
            with open_dict(cfg):
                cfg.common.tpu = False  # which fairseq takes --bf16 to imply
        return call_main(cfg, main, **kwargs)

    return call
