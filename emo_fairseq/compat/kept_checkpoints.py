"""The best checkpoints, where the metric that selects them is undefined or below 0.

fairseq keeps the best value by max() or min(), which a NaN (the CCC of constant predictions)
overwrites, so that a worse checkpoint would later replace the best. Without any defined value there
is no ``checkpoint_best.pt``, and fairseq ends without a warning.

With ``--keep-best-checkpoints`` fairseq finds those that it kept by a pattern without a minus sign:
it would never remove those of negative values, such as a CCC, and compare no later one with them.
"""

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairseq import checkpoint_utils
from fairseq.distributed.utils import is_master

from emo_fairseq.checkpoint_files import BEST, LAST
from emo_fairseq.compat.patching import wrap, wrap_in_training

logger = logging.getLogger(__name__)

_PREFIX = r"checkpoint\.best_"  # with which fairseq's pattern begins
_VALUE, _SIGNED = r"(\d+\.?\d*)", r"(-?\d+\.?\d*)"


def select_by_defined_metrics(save: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap fairseq's ``save_checkpoint``: an undefined metric selects nothing, with a warning."""

    def save_checkpoint(cfg: Any, trainer: Any, epoch_itr: Any, val_loss: float | None) -> Any:
        if val_loss is None or not math.isnan(val_loss):
            return save(cfg, trainer, epoch_itr, val_loss)
        describe = getattr(trainer.task, "describe_undefined", None)
        logger.warning(
            "--best-checkpoint-metric %s is undefined (NaN) in the validation of epoch %d, so that "
            "it chooses no checkpoint%s",
            cfg.best_checkpoint_metric,
            epoch_itr.epoch,
            f": {describe(cfg.best_checkpoint_metric)}" if describe is not None else "",
        )
        return save(cfg, trainer, epoch_itr, None)

    return save_checkpoint


def warn_if_none_is_kept() -> None:
    """Log a warning at the end of fairseq-train if no ``checkpoint_best.pt`` was kept."""
    wrap_in_training("train", _warn_at_the_end)


def _warn_at_the_end(train_epoch: Callable[..., Any]) -> Callable[..., Any]:
    def train(cfg: Any, trainer: Any, task: Any, epoch_itr: Any) -> Any:
        losses, stops = train_epoch(cfg, trainer, task, epoch_itr)
        if stops or epoch_itr.next_epoch_idx > (cfg.optimization.max_epoch or math.inf):
            _warn(cfg)
        return losses, stops

    return train


def _warn(cfg: Any) -> None:
    options = cfg.checkpoint
    if options.no_save or cfg.dataset.disable_validation:
        return
    folder, suffix = Path(options.save_dir), options.get("checkpoint_suffix") or ""
    best, last = (folder / name.replace(".pt", f"{suffix}.pt") for name in (BEST, LAST))
    if best.is_file() or not is_master(cfg.distributed_training):
        return
    kept = f"{last.name} is the model after the last update" if last.is_file() else "nothing is"
    logger.warning(
        "%s: no %s was kept, since --best-checkpoint-metric %s was defined in no validation; %s, "
        "which no set has chosen",
        options.save_dir,
        best.name,
        options.best_checkpoint_metric,
        kept,
    )


def find_negative() -> None:
    """Let fairseq find the best checkpoints of negative values, too."""
    wrap(checkpoint_utils, "checkpoint_paths", _with_sign)


def _with_sign(checkpoint_paths: Callable[..., Any]) -> Callable[..., Any]:
    def paths(path: str, pattern: str = r"checkpoint(\d+)\.pt", keep_match: bool = False) -> Any:
        if pattern.startswith(_PREFIX):
            pattern = pattern.replace(_VALUE, _SIGNED)
        return checkpoint_paths(path, pattern, keep_match)

    return paths
