"""How far a training is, as one line: epoch, updates, time left, metrics of the last validation."""

import math
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from numbers import Real
from typing import Any

from emo_fairseq.evaluation.names import METRICS, split_key
from emo_fairseq.evaluation.tables import format_count

_LARGE = 100  # numbers from here on have four digits in all


class RunProgress:
    """The position of a training in its epochs and updates, and its validations."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started: float | None = None
        self._reference = (0.0, 0.0)  # seconds and share at the first update
        self._position = 0.0  # in epochs
        self._limits: Mapping[str, float] = {}
        self.metric = self.save_dir = self._selecting_split = ""
        self.epoch = self.n_updates = 0
        self.best: float | None = None
        self.last_validation = ""  # in short

    def configure(self, config: Mapping[str, Any]) -> None:
        """Take the end of the training and its metric from fairseq's configuration."""
        optimization, checkpoint = config["optimization"], config["checkpoint"]
        self._limits = {
            "epochs": optimization["max_epoch"] or math.inf,
            "updates": optimization["max_update"] or math.inf,
        }
        self.metric = str(checkpoint["best_checkpoint_metric"])
        self.save_dir = str(checkpoint["save_dir"])
        self._selecting_split = str(config["dataset"]["valid_subset"]).split(",")[0]

    def advance(self, epoch: int, share_of_epoch: float, n_updates: int) -> None:
        """Move on.

        Args:
            epoch: that is trained, from 1.
            share_of_epoch: of its batches, from 0 to 1.
            n_updates: so far; 0 until the first one of this process.
        """
        self.epoch, self.n_updates = epoch, n_updates
        self._position = epoch - 1 + share_of_epoch
        if self._started is None:
            self._started = self._clock()
        if n_updates > 0 and self._reference == (0.0, 0.0):
            self._reference = (self.seconds, self.share)

    def count_updates(self, stats: Mapping[str, Any]) -> None:
        """Take the number of updates from fairseq's statistics, where they have it."""
        self.n_updates = int(stats.get("num_updates", self.n_updates))

    @property
    def share(self) -> float:
        """The part of the training that is done, from 0 to 1; 0 if it has no end."""
        return min(
            1.0,
            max(
                self._position / self._limits.get("epochs", math.inf),
                self.n_updates / self._limits.get("updates", math.inf),
            ),
        )

    @property
    def seconds(self) -> float:
        """Time since this process began to train."""
        return 0.0 if self._started is None else self._clock() - self._started

    @property
    def seconds_left(self) -> float | None:
        """Time until the end at the speed so far, validations included; None if not known."""
        seconds, share = self.seconds - self._reference[0], self.share - self._reference[1]
        is_known = self._reference[1] > 0 and share > 0
        return seconds / share * (1 - self.share) if is_known else None

    @property
    def title(self) -> str:
        """The epoch, and how many there are where that is known."""
        n_epochs = self._limits.get("epochs", math.inf)
        return f"epoch {self.epoch}" + (f" of {n_epochs:.0f}" if n_epochs < math.inf else "")

    @property
    def time_left(self) -> str:
        """Time until the end in words; empty if not known."""
        return "" if self.seconds_left is None else f"{duration(self.seconds_left)} left"

    def validate(self, split: str, stats: Mapping[str, Any], train_loss: float | None) -> str:
        """Take the metrics of a validation, and return the line that reports them.

        Args:
            split: that was scored.
            stats: of fairseq, by the name of the metric.
            train_loss: the mean of the epoch so far; None if not known.
        """
        self.count_updates(stats)
        shown = f"{split} {metrics_text(stats, self.metric)}"
        if split != self._selecting_split:
            return f"{self.title} | {self._updates} | {shown}"
        best = stats.get(f"best_{self.metric}", stats.get(self.metric))
        if isinstance(best, Real) and not math.isnan(best):
            self.best = float(best)
        selecting = {name: stats[name] for name in (self.metric, "loss") if name in stats}
        in_short = [f"{split} {metrics_text(selecting, self.metric)}", self.best_text]
        self.last_validation = " | ".join(filter(None, in_short))
        loss = "" if train_loss is None else f"train loss {number_text(train_loss)}"
        parts = [self.title, self._updates, loss, shown, self.best_text]
        return " | ".join(filter(None, [*parts, self.time_left]))

    @property
    def best_text(self) -> str:
        """The best value of the metric that selects the checkpoint; empty without any."""
        return "" if self.best is None else f"best {self.metric} {number_text(self.best)}"

    def summary(self) -> str:
        """Return the last line of a training."""
        done = f"trained to epoch {self.epoch}, {self._updates}, in {duration(self.seconds)}"
        return " | ".join(filter(None, [done, self.best_text, f"checkpoints: {self.save_dir}"]))

    @property
    def _updates(self) -> str:
        return format_count(self.n_updates, "update")


def metrics_text(stats: Mapping[str, Any], also: str = "", in_detail: bool = False) -> str:
    """Return loss and metrics over all rows, by the names that ``--best-checkpoint-metric`` takes.

    Args:
        stats: of fairseq, which has its speed among them.
        also: a metric that is shown in any case.
        in_detail: show metrics of single labels and axes, and of some of the rows, too.

    >>> metrics_text({"loss": 1.4164, "uar": 0.25, "recall_sad": 1.0, "wps": 2977.5})
    'loss 1.416, uar 0.250'
    """
    texts = []
    for key, value in stats.items():
        metric, of = split_key(key)
        is_whole = not of and "@" not in key
        is_shown = metric.key in METRICS and (is_whole or in_detail or key == also)
        if is_shown and isinstance(value, Real):
            texts.append(f"{key} {number_text(float(value))}")
    return ", ".join(texts)


def number_text(value: float) -> str:
    """Return a number with three digits behind the point, a large one with fewer.

    >>> number_text(0.25), number_text(1234.5)
    ('0.250', '1234')
    """
    return f"{value:.4g}" if abs(value) >= _LARGE else f"{value:.3f}"


def duration(seconds: float) -> str:
    """Return a duration as hours, minutes and seconds.

    >>> duration(83.6)
    '0:01:24'
    """
    return str(timedelta(seconds=round(seconds)))
