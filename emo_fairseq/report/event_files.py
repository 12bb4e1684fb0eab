"""Event files of ``--tensorboard-logdir``: what fairseq wrote at the end of each epoch.

fairseq keeps one folder a split and no epochs: only updates. An epoch ends where ``train`` was
written; a validation belongs to the epoch in which, or at whose end, it was made.
"""

import bisect
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emo_fairseq.report.training_log import TRAIN, Epoch

_WITHIN = "train_inner"  # every --log-interval updates
_LENGTH, _CRC = 8, 4

Steps = dict[int, dict[str, float]]  # updates -> figures


def read_events(folder: Path) -> list[Epoch]:
    """Read every split's event files."""
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
            epochs[number].figures[split] = steps[split][updates]
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
    """Each record is a length, its checksum, an event and its checksum; a cut last one is left."""
    from tensorboardX.proto.event_pb2 import Event

    place = 0
    while place + _LENGTH + _CRC <= len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        start = place + _LENGTH + _CRC
        place = start + length + _CRC
        if place <= len(content):
            yield Event.FromString(content[start : start + length])
