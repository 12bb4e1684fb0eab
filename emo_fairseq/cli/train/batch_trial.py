"""Run updates on the longest utterances, in larger and larger batches, until memory is full.

``python -m emo_fairseq.cli.train.batch_trial --result FILE -- WORDS``, those of fairseq-train.
Task, model and optimizer are fairseq's; nothing is saved but the result.
"""

import argparse
import json
import os
import resource
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from data_prep.files.replacing import write_atomically
from data_prep.number_types import positive_number
from data_prep.schema import TRAIN
from emo_fairseq.cli.train.command_check import read_command
from emo_fairseq.errors import UsageError

_MB = 1_000_000
_SHARE = 0.8  # of the memory that is free, the limit on a CPU
_UPDATES = 2  # the optimizer's state is made in the first


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: try batches of 1, 2, 4… and write the largest that fits."""
    import emo_fairseq
    from emo_fairseq.compat import excepthook

    excepthook.apply()
    words = list(sys.argv[1:] if arguments is None else arguments)
    end = words.index("--")
    parser = argparse.ArgumentParser(
        "python -m emo_fairseq.cli.train.batch_trial", description=__doc__
    )
    parser.add_argument("--result", type=Path, required=True, metavar="FILE")
    parser.add_argument("--memory-limit", type=positive_number, metavar="GB")
    options = parser.parse_args(words[:end])
    emo_fairseq.register()
    limit = _free_bytes() * _SHARE if options.memory_limit is None else options.memory_limit * 1e9
    trial = try_sizes(Training(words[end + 1 :]), limit)
    write_atomically(options.result, json.dumps(trial) + "\n")
    return 0


class Training:
    """A training as fairseq-train sets it up, for single updates.

    Args:
        words: of its command line, without the program.
    """

    def __init__(self, words: Sequence[str]) -> None:
        from fairseq import tasks
        from fairseq.trainer import Trainer

        cfg = read_command(words)
        task = tasks.setup_task(cfg.task)
        model, criterion = task.build_model(cfg.model), task.build_criterion(cfg.criterion)
        task.load_dataset(TRAIN)
        self.batch_size: int = cfg.dataset.batch_size
        self.dataset: Any = task.dataset(TRAIN)
        self.trainer: Any = Trainer(cfg, task, model, criterion)

    @property
    def is_on_gpu(self) -> bool:
        """Whether a GPU computes."""
        return bool(self.trainer.cuda)

    def used_bytes(self) -> int:
        """Return the most memory that was in use so far: of the GPU, or of this process."""
        if self.is_on_gpu:
            return int(torch.cuda.max_memory_allocated())
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def update(self, batch_size: int) -> None:
        """Run updates on a batch of the longest utterances."""
        rows = self.dataset.largest_batch(batch_size)
        sample = self.dataset.collater([self.dataset[row] for row in rows.tolist()])
        for _ in range(_UPDATES):
            self.trainer.train_step([sample])


def try_sizes(training: Training, limit: float) -> dict[str, int | str]:
    """Return the largest size that fits, of those that divide the batch of an update.

    Args:
        training: runs updates.
        limit: bytes that the process may have on a CPU; that a GPU is full is an error of torch.

    Returns:
        The fields of :class:`emo_fairseq.cli.train.batch_size.Trial`.

    Raises:
        UsageError: not even a single utterance fits.
    """
    requested = training.batch_size
    used: dict[int, int] = {}  # bytes by size
    stopped_by = "the whole batch of an update"
    for size in (n for n in range(1, requested + 1) if requested % n == 0):
        expected = _extrapolate(used, size)
        if not training.is_on_gpu and expected > limit:
            stopped_by = f"{size} would take {expected / _MB:.0f} of {limit / _MB:.0f} MB"
            break
        try:
            training.update(size)
        except torch.cuda.OutOfMemoryError:
            stopped_by = f"{size} is too much for the memory of the GPU"
            break
        used[size] = training.used_bytes()
        if not training.is_on_gpu and used[size] > limit:
            stopped_by = f"{size} took {used.pop(size) / _MB:.0f} of {limit / _MB:.0f} MB"
            break
    if not used:
        raise UsageError(
            f"--find-batch-size: no single utterance fits, {stopped_by}; shorten the input by "
            "--max-speech-seconds or --max-text-tokens, or take a smaller encoder",
            "memory-too-small",
        )
    size = max(used)
    megabytes = round(used[size] / _MB)
    trial = {"batch_size": size, "requested": requested, "megabytes": megabytes}
    return {**trial, "stopped_by": stopped_by}


def _extrapolate(used: Mapping[int, int], size: int) -> float:
    """Return the bytes that a size will take: an utterance more takes as much as the last ones.

    >>> _extrapolate({1: 500, 2: 600}, 4), _extrapolate({1: 500}, 2)
    (800.0, 500.0)
    """
    if not used:
        return 0.0
    *before, last = sorted(used)
    if not before:
        return float(used[last])
    slope = (used[last] - used[before[-1]]) / (last - before[-1])
    return used[last] + slope * (size - last)


def _free_bytes() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main())
