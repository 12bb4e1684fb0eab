"""One progress line instead of fairseq's bars; where there is no terminal, a line a validation.

fairseq's own bar runs below: it logs as before to ``--log-file``, TensorBoard, Weights & Biases and
Hydra's file. It is also printed as before with ``--log-format`` and no ``--log-file``, since a
program may then read what is printed, and with ``EMO_FAIRSEQ_VERBOSE=1``.
"""

import atexit
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fairseq.logging import metrics, progress_bar

from emo_fairseq.compat.console import print_progress_of_fairseq
from emo_fairseq.compat.patching import wrap
from emo_fairseq.compat.verbosity import is_verbose
from emo_fairseq.training.run_progress import RunProgress, duration, metrics_text

logger = logging.getLogger(__name__)

_REDRAW_SECONDS = 0.5
_BAR_WIDTH = 20  # characters
_END_OF_TRAINING = "done training"  # fairseq_cli.train logs it


def apply() -> None:
    """Replace the functions of fairseq that build and format progress bars."""
    for bar in (progress_bar.BaseProgressBar, progress_bar.JsonProgressBar):
        wrap(bar, "_format_stats", _without_private)
    wrap(progress_bar, "progress_bar", _build_one_line)
    of_training = logging.getLogger("fairseq_cli.train")
    if _summarize not in of_training.filters:
        of_training.addFilter(_summarize)


def _without_private(format_stats: Callable[..., Any]) -> Callable[..., Any]:
    """Leave out sums of statistics and predictions, which fairseq-validate passes to a bar, too.

    A name that begins with an underscore is private in fairseq's own meters.
    """

    def format_metrics(self: Any, stats: Any, **kwargs: Any) -> Any:
        hidden = {n for n, value in stats.items() if n.startswith("_") or isinstance(value, list)}
        shown = {name: value for name, value in stats.items() if name not in hidden}
        return format_stats(self, shown, **kwargs)

    return format_metrics


def begin_run() -> None:
    """Reset the progress of an earlier training, of a sweep in one process."""
    _RUN.close()
    _RUN.progress, _RUN.has_log_file = RunProgress(), False


class _Line:
    """A line at the end of the terminal, drawn by Rich below what is printed meanwhile.

    It is drawn where it is changed, and by no thread: workers of a data loader are forked, and
    would wait forever for a lock that a thread holds.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        text = Column(no_wrap=True, overflow="ellipsis")
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(_BAR_WIDTH),
            TextColumn("{task.fields[text]}", markup=False, table_column=text),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )
        self._task = self._progress.add_task("", total=1.0, text="")
        self._drawn = 0.0
        atexit.register(self.close)

    def update(self, title: str, share: float, text: str) -> None:
        """Change the line, and draw it unless it has just been drawn."""
        self._progress.update(self._task, description=title, completed=share, text=text)
        if not self._drawn:
            self._progress.start()
            self._progress.console.show_cursor(True)  # a killed process could not bring it back
        if time.monotonic() - self._drawn >= _REDRAW_SECONDS:
            self._progress.refresh()
            self._drawn = time.monotonic()

    def close(self) -> None:
        """Remove the line."""
        self._progress.stop()


class _Run:
    """The run of this process: fairseq builds a bar for every epoch and every validation of it."""

    def __init__(self) -> None:
        self.progress = RunProgress()
        self.has_log_file = False
        self._line: _Line | None = None

    def line(self, is_wanted: bool) -> _Line | None:
        """Return the line on the terminal; None if there is no terminal, or on another rank."""
        if not is_wanted or not sys.stderr.isatty() or not logger.isEnabledFor(logging.INFO):
            return None
        self._line = self._line or _Line()
        return self._line

    def close(self) -> None:
        """Remove the line from the terminal."""
        if self._line is not None:
            self._line.close()
            self._line = None


_RUN = _Run()


def _build_one_line(build: Callable[..., Any]) -> Callable[..., Any]:
    def build_bar(iterator: Any, log_format: str | None = None, **options: Any) -> Any:
        _RUN.has_log_file |= options.get("log_file") is not None
        is_read = log_format is not None and not _RUN.has_log_file
        print_progress_of_fairseq(is_read or is_verbose())
        if is_read or is_verbose():
            return build(iterator, log_format, **options)
        wants_line = options.get("default_log_format") != "simple"  # which is --no-progress-bar
        bar = build(iterator, log_format or "simple", **options)
        if options.get("prefix") is None:
            return _TrainingBar(bar, iterator, options["epoch"], wants_line)
        return _ValidationBar(bar, iterator, options.get("epoch"), wants_line)

    return build_bar


class _Bar(progress_bar.BaseProgressBar):
    """A bar above fairseq's own.

    Args:
        bar: of fairseq, which logs.
        iterator: of the batches.
        epoch: of the training, from 1; None in fairseq-validate.
        wants_line: whether a terminal shows a line.
    """

    def __init__(self, bar: Any, iterator: Any, epoch: int | None, wants_line: bool) -> None:
        super().__init__(iterator, epoch)
        self._bar = bar
        self._wants_line = wants_line

    def log(self, stats: Any, tag: str | None = None, step: int | None = None) -> None:
        self._bar.log(stats, tag=tag, step=step)


class _TrainingBar(_Bar):
    """Shows the position in the training during an epoch."""

    def __iter__(self) -> Iterator[Any]:
        line, progress = _RUN.line(self._wants_line), _RUN.progress
        n_updates = progress.n_updates
        for number, batch in enumerate(self._bar, start=self.n + 1):
            updates = metrics.get_meter("train", "num_updates")
            if updates is not None and updates.val is not None:
                n_updates = int(updates.val)
            progress.advance(self.epoch, number / max(1, len(self)), n_updates)
            if line is not None:
                text = " | ".join(filter(None, [progress.time_left, progress.last_validation]))
                line.update(progress.title, progress.share, text)
            yield batch

    def print(self, stats: Any, tag: str | None = None, step: int | None = None) -> None:
        """Print the metrics of an epoch, whose last update nothing follows that counts it."""
        _RUN.progress.count_updates(stats)
        self._bar.print(stats, tag=tag, step=step)

    def update_config(self, config: Mapping[str, Any]) -> None:
        """Take the length of the training from the configuration of the run."""
        self._bar.update_config(config)
        _RUN.progress.configure(config)


class _ValidationBar(_Bar):
    """Shows the position in a validation of fairseq-train or fairseq-validate, then its metrics."""

    def __iter__(self) -> Iterator[Any]:
        line, started = _RUN.line(self._wants_line), time.monotonic()
        for number, batch in enumerate(self._bar, start=1):
            yield batch
            share = number / max(1, len(self))
            if line is not None and self.epoch is None:
                left = (time.monotonic() - started) * (1 - share) / share
                line.update("validating", share, f"{duration(left)} left")
            elif line is not None:
                progress = _RUN.progress
                line.update(f"{progress.title}, validating", share, progress.last_validation)

    def print(self, stats: Any, tag: str | None = None, step: int | None = None) -> None:
        """Log the metrics: on a terminal, those of a training are a part of its line."""
        self._bar.print(stats, tag=tag, step=step)
        split = str(tag)
        if self.epoch is None:
            _RUN.close()
            logger.info("%s: %s", split, metrics_text(stats, in_detail=True))
            return
        loss = metrics.get_meter("train", "loss")
        train_loss = None if loss is None else loss.smoothed_value
        report = _RUN.progress.validate(split, stats, train_loss)
        if not self._wants_line or not (sys.stdout.isatty() and sys.stderr.isatty()):
            logger.info("%s", report)


def _summarize(record: logging.LogRecord) -> bool:
    """Let the last line of fairseq's log be followed by the summary of the training."""
    if record.getMessage().startswith(_END_OF_TRAINING):
        _RUN.close()
        if _RUN.progress.epoch and not is_verbose():
            logger.info("%s", _RUN.progress.summary())
    return True
