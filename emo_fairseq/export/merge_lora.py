"""Merge LoRA into the weights: ``python -m emo_fairseq.export.merge_lora CHECKPOINT OUT``.

OUT is a checkpoint for fairseq-validate and ``--init-from``, whose encoders are as if tuned in
full, and no slower than the pretrained ones. It has no optimizer: no training resumes from it.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import emo_fairseq
from data_prep.files.replacing import replacing
from emo_fairseq.compat import excepthook
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import MODALITIES
from emo_fairseq.option_values import FULL, LORA

logger = logging.getLogger(__name__)


def merge_checkpoint(checkpoint: Path, out: Path) -> list[str]:
    """Write `out`; returns the modalities whose encoders had LoRA.

    Raises:
        UsageError: there is no such file, no LoRA in it, or not the weights that the updates
            belong to.
    """
    if not checkpoint.is_file():
        raise UsageError(
            f"{checkpoint}: there is no such file; check the path", "checkpoint-missing"
        )
    import torch  # here, so that the command line is parsed without it
    from fairseq import checkpoint_utils
    from omegaconf import open_dict

    from emo_fairseq.compat.checkpoints import TASK_NAME
    from emo_fairseq.modules.lora import is_adapter, merged_state_dict

    emo_fairseq.register()
    override = {"task": TASK_NAME}
    state: dict[str, Any] = checkpoint_utils.load_checkpoint_to_cpu(str(checkpoint), override)
    config = state["cfg"].model
    adapted = [m for m in MODALITIES if str(config.get(f"{m}_tuning")) == LORA]
    if not any(map(is_adapter, state["model"])):
        raise UsageError(
            f"{checkpoint}: no encoder has LoRA; there is nothing to merge", "lora-missing"
        )
    if str(config.checkpoint_weights) == "trained":
        raise UsageError(
            f"{checkpoint}: was written with --checkpoint-weights trained, and lacks the weights "
            "that LoRA's updates belong to; train with --checkpoint-weights all",
            "weights-left-out",
        )
    with open_dict(state["cfg"]):
        for modality in adapted:
            config[f"{modality}_tuning"] = FULL
    state["model"] = merged_state_dict(state["model"])
    state.pop("last_optimizer_state", None)
    state["task_state"] = dict(state["task_state"])  # plain, as torch reads weights only
    with replacing(out) as part:
        torch.save(state, part)
    return adapted


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: see the module's docstring."""
    excepthook.apply()
    parser = argparse.ArgumentParser(
        prog="python -m emo_fairseq.export.merge_lora", description="Merge LoRA into the weights."
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    adapted = merge_checkpoint(options.checkpoint, options.out)
    logger.info("%s: LoRA of %s merged", options.out, ", ".join(adapted))
    return 0


if __name__ == "__main__":
    sys.exit(main())
