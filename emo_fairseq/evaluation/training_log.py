"""The metrics of every epoch, loaded from fairseq's logs, and written as ``training_log.csv``.

fairseq writes two forms for programs, both read here:

    --log-format json --log-file FILE      one JSON object a line, into FILE
    --tensorboard-logdir FOLDER            event files, in FOLDER/train and FOLDER/valid

fairseq's JSON is also read behind the time stamps of what it prints (``... | {"epoch": 1, ...}``).
Other lines are skipped.
"""

import bisect
import csv
import io
import json
import logging
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.messages import first_few
from data_prep.schema import TRAIN, VALID
from emo_fairseq.errors import UsageError

logger = logging.getLogger(__name__)

_UPDATES = "num_updates"  # fairseq logs it of every split
_CASE = "@"
_CONFIGURATION = "{'"  # which fairseq logs as Python writes it
_LABEL_COLUMNS = ("loss", "uar", "wa", "weighted_f1")
_NUMBER_COLUMNS = ("loss", "mse", "rmse", "mae")

Metrics = Mapping[str, float]


@dataclass
class Epoch:
    """What was logged at the end of an epoch: the metrics of each split, without its prefix."""

    number: int
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def valid_split(self) -> str | None:
        """``valid`` if it was scored, else the first other split that was; None without."""
        others = [split for split in self.metrics if split != TRAIN]
        return VALID if VALID in others else next(iter(others), None)

    @property
    def train(self) -> Metrics:
        """Metrics of the training."""
        return self.metrics.get(TRAIN, {})

    @property
    def valid(self) -> Metrics:
        """Metrics of the last validation in the epoch."""
        return self.metrics.get(self.valid_split or "", {})


def read_log(path: Path) -> list[Epoch]:
    """Load a log file, or a folder of ``--tensorboard-logdir``.

    Where an epoch was logged twice, as after an interruption, the later line counts; where the
    epochs begin anew, a later training went into the same file, and it alone is read.

    Raises:
        UsageError: there is no such path, or it holds no epoch.
    """
    if path.is_dir():
        epochs = read_events(path)
    elif path.is_file():
        epochs = _read_lines(path.read_text(encoding="utf-8", errors="replace").splitlines())
    else:
        raise UsageError(f"--log {path}: there is no such file or folder", "log-missing")
    if not epochs:
        raise UsageError(
            f"--log {path}: it holds no epoch; train with --log-format json --log-file FILE, or "
            "with --tensorboard-logdir FOLDER",
            "log-no-epoch",
        )
    return epochs


def read_validations(file: Path) -> list[Metrics]:
    """Load every validation in the log file of a training that may still run, in their order.

    Of several splits that of :attr:`Epoch.valid_split`. A validation that was logged twice, as
    after an interruption, counts once, as it was logged last. Lines that are no entries are left
    out without a warning, and a last line that has no end.
    """
    text = file.read_text(encoding="utf-8", errors="replace")
    by_updates: dict[float, Epoch] = {}
    last = 1
    for number, split, metrics in _logged(text[: text.rfind("\n") + 1].splitlines(), warns=False):
        if number == 1 < last:  # a later training
            by_updates.clear()
        last = number
        updates = metrics.get(_UPDATES, 0.0)
        by_updates.setdefault(updates, Epoch(number)).metrics[split] = metrics
    of_each = (by_updates[updates].valid for updates in sorted(by_updates))
    return [metrics for metrics in of_each if metrics]


def _read_lines(lines: Sequence[str]) -> list[Epoch]:
    epochs: dict[int, Epoch] = {}
    for number, split, metrics in _logged(lines):
        if number == 1 < max(epochs, default=1):
            epochs.clear()
        epochs.setdefault(number, Epoch(number)).metrics[split] = metrics
    return [epochs[number] for number in sorted(epochs)]


def _logged(
    lines: Sequence[str], warns: bool = True
) -> Iterator[tuple[int, str, dict[str, float]]]:
    """Yield epoch, split and metrics of each entry; those within an epoch have no split."""
    for entry in _entries(lines, warns):
        number = entry.get("epoch")
        split = next(
            (k.removesuffix(f"_{_UPDATES}") for k in entry if k.endswith(f"_{_UPDATES}")), ""
        )
        if isinstance(number, int) and split:
            prefix = f"{split}_"
            logged = {k.removeprefix(prefix): x for k, x in entry.items() if k.startswith(prefix)}
            yield number, split, {k: y for k, x in logged.items() if (y := _number(x)) is not None}


def _entries(lines: Sequence[str], warns: bool) -> Iterator[dict[str, Any]]:
    unread = []
    for number, line in enumerate(lines, start=1):
        start = 0 if line.startswith("{") else line.find("| {") + 2
        if start == 1 or line.startswith(_CONFIGURATION, start):  # 1: not found
            continue
        try:
            entry = json.loads(line[start:])  # where a metric is undefined, fairseq writes NaN
        except (ValueError, RecursionError):  # mostly one that an interruption has cut
            unread.append(f"line {number}")
            continue
        if isinstance(entry, dict):
            yield entry
    if unread and warns:
        logger.warning(
            "--log: %d lines are no JSON, and are left out: %s", len(unread), first_few(unread)
        )


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):  # a list, of a statistic
        return None


def cases(epoch: Epoch) -> dict[str, dict[str, float]]:
    """Return the metrics of the validation by case of modalities and by auxiliary target."""
    by_case: dict[str, dict[str, float]] = {}
    for name, value in epoch.valid.items():
        key, mark, case = name.partition(_CASE)
        if mark:
            by_case.setdefault(case, {})[key] = value
    return by_case


def csv_text(epochs: Sequence[Epoch], has_labels: bool) -> str:
    """Return ``training_log.csv``; a metric that was not logged, or is undefined, is empty."""
    columns = _LABEL_COLUMNS if has_labels else _NUMBER_COLUMNS
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", "train_loss"] + [f"val_{name}" for name in columns])
    for epoch in epochs:
        valid = with_mse(epoch.valid)
        values = [epoch.train.get("loss")] + [valid.get(name) for name in columns]
        writer.writerow([epoch.number, *map(_field, values)])
    return text.getvalue()


def with_mse(metrics: Metrics) -> dict[str, float]:
    """Add the mean squared error over all axes, and replace RMSE by the root of it.

    fairseq's log holds the RMSE of each axis and, as ``rmse``, their mean. The mean squared error
    is the mean over axes of RMSE^2, and its root is larger than that mean wherever axes differ.
    """
    axes = [
        value for name, value in metrics.items() if name.startswith("rmse_") and _CASE not in name
    ]
    squared = [value**2 for value in axes or [metrics.get("rmse", math.nan)]]
    mean = sum(squared) / len(squared)
    return {**metrics, "mse": mean, "rmse": math.sqrt(mean)}


def _field(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.9g}"


# -- event files of --tensorboard-logdir -----------------------------------------------------------
# fairseq keeps one folder a split and no epochs: only updates. An epoch ends where ``train`` was
# written; a validation belongs to the epoch in which, or at whose end, it was made.

_WITHIN = "train_inner"  # every --log-interval updates
_LENGTH, _CRC = 8, 4

Steps = dict[int, dict[str, float]]  # updates -> metrics


def read_events(folder: Path) -> list[Epoch]:
    """Load every split's event files."""
    splits = [path for path in sorted(folder.iterdir()) if path.is_dir() and path.name != _WITHIN]
    steps = {path.name: _read_split(path) for path in splits}
    ends = sorted(steps.get(TRAIN, {}))
    epochs = [Epoch(number, {TRAIN: steps[TRAIN][end]}) for number, end in enumerate(ends, start=1)]
    for split in steps.keys() - {TRAIN}:
        for updates in sorted(steps[split]):
            number = bisect.bisect_left(ends, updates)
            if number == len(epochs):  # it stopped before the epoch ended
                epochs.append(Epoch(number + 1))
                ends.append(updates)
            epochs[number].metrics[split] = steps[split][updates]
    return epochs


def _read_split(folder: Path) -> Steps:
    steps: Steps = {}
    for file in sorted(folder.glob("*tfevents*")):  # their names begin with when they were started
        for event in _events(file.read_bytes()):
            for value in event.summary.value:
                if value.WhichOneof("value") == "simple_value":
                    steps.setdefault(event.step, {})[value.tag] = value.simple_value
    return steps


def _events(content: bytes) -> Iterator[Any]:
    """Yield the events: each record is a length, its checksum, an event and its checksum.

    A last record that was cut is skipped.
    """
    from tensorboardX.proto.event_pb2 import Event

    end = 0
    while end + _LENGTH + _CRC <= len(content):
        (length,) = struct.unpack_from("<Q", content, end)
        start = end + _LENGTH + _CRC
        end = start + length + _CRC
        if end <= len(content):
            yield Event.FromString(content[start : start + length])
