"""fairseq's progress bars."""

from collections.abc import Callable
from typing import Any

from fairseq.logging import progress_bar

from emo_fairseq.compat.patching import wrap


def apply() -> None:
    """Keep sums of statistics and predictions off the progress bar.

    fairseq-validate hands it whatever the criterion returned for a batch. A name that begins with
    an underscore is private in fairseq's own meters; a list is no figure.
    """
    for bar in (progress_bar.BaseProgressBar, progress_bar.JsonProgressBar):
        wrap(bar, "_format_stats", _of_figures)


def _of_figures(format_stats: Callable[..., Any]) -> Callable[..., Any]:
    def format_figures(self: Any, stats: Any, **kwargs: Any) -> Any:
        hidden = {n for n, value in stats.items() if n.startswith("_") or isinstance(value, list)}
        figures = {name: value for name, value in stats.items() if name not in hidden}
        return format_stats(self, figures, **kwargs)

    return format_figures
