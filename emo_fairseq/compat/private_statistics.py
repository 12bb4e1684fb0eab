"""Sums of statistics and predictions are kept off fairseq's progress bars."""

from collections.abc import Callable
from typing import Any

from fairseq.logging import progress_bar

from emo_fairseq.compat.patching import wrap


def apply() -> None:
    """Replace the functions of fairseq that this module is about.

    fairseq-validate passes a bar the whole logging output of a batch. A name that begins with an
    underscore is private in fairseq's own meters; a list is no metric.
    """
    for bar in (progress_bar.BaseProgressBar, progress_bar.JsonProgressBar):
        wrap(bar, "_format_stats", _without_private)


def _without_private(format_stats: Callable[..., Any]) -> Callable[..., Any]:
    def format_metrics(self: Any, stats: Any, **kwargs: Any) -> Any:
        hidden = {n for n, value in stats.items() if n.startswith("_") or isinstance(value, list)}
        shown = {name: value for name, value in stats.items() if name not in hidden}
        return format_stats(self, shown, **kwargs)

    return format_metrics
