"""``--patience``: counts defined metrics only, and goes on counting in a resumed training.

fairseq counts the validations without a better metric in attributes of a function, which no
checkpoint has: a resumed training would count from 0, and with its own first metric as the best.
A NaN (the CCC of constant predictions) would be the best for ever, since nothing is better.
"""

import functools
import math
import sys
from collections.abc import Callable
from typing import Any

_BEST, _COUNT = "best", "num_runs"  # the names of fairseq's attributes


def keep_patience(state: dict[str, Any]) -> None:
    """Count in `state` in the training that begins, from the counts in it.

    Args:
        state: a part of the task's state, which checkpoints have.
    """
    train = sys.modules.get("fairseq_cli.train")
    if train is None:
        return
    ours: Callable[..., bool] | None = getattr(train, "should_stop_early", None)
    original = getattr(ours, "__wrapped__", ours)
    if original is None:
        return

    @functools.wraps(original)
    def should_stop_early(cfg: Any, valid_loss: float | None) -> bool:
        if valid_loss is None or math.isnan(valid_loss):
            return False
        stops = bool(original(cfg, valid_loss))
        if cfg.checkpoint.patience > 0:
            state.update({name: counts[name] for name in (_BEST, _COUNT)})
        return stops

    # The original finds its attributes by its name in the module, which is this function's now.
    counts = vars(should_stop_early)
    for name in (_BEST, _COUNT):
        counts.pop(name, None)
    counts.update(state)
    train.should_stop_early = should_stop_early  # type: ignore[attr-defined]


def has_run_out(state: dict[str, Any], patience: int) -> bool:
    """Return whether ``--patience`` has stopped the training with this state."""
    return 0 < patience <= int(state.get(_COUNT, 0))
