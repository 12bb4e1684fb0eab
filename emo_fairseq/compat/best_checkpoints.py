"""``--keep-best-checkpoints`` with a metric that may be below 0, such as CCC.

fairseq finds the checkpoints that it kept by a pattern without a minus sign: it would never remove
those of negative values, and compare no later one with them.
"""

from collections.abc import Callable
from typing import Any

from fairseq import checkpoint_utils

from emo_fairseq.compat.patching import wrap

_PREFIX = r"checkpoint\.best_"  # with which fairseq's pattern begins
_VALUE, _SIGNED = r"(\d+\.?\d*)", r"(-?\d+\.?\d*)"


def find_negative() -> None:
    """Let fairseq find the best checkpoints of negative values, too."""
    wrap(checkpoint_utils, "checkpoint_paths", _with_sign)


def _with_sign(checkpoint_paths: Callable[..., Any]) -> Callable[..., Any]:
    def paths(path: str, pattern: str = r"checkpoint(\d+)\.pt", keep_match: bool = False) -> Any:
        if pattern.startswith(_PREFIX):
            pattern = pattern.replace(_VALUE, _SIGNED)
        return checkpoint_paths(path, pattern, keep_match)

    return paths
