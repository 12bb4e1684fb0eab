"""``--find-batch-size``: the largest batch that fits into memory, at the same update.

A trial in a process of its own, :mod:`emo_fairseq.cli.train.batch_trial`, runs updates on the
longest utterances in batches of 1, 2, 4… until memory is full or the batch is that of an update.
The training then adds up the gradients of several batches before each update, by ``--update-freq``,
so that its updates are as they were planned.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from data_prep.files.documents import Count, Document, load_json
from emo_fairseq.checkpoint_files import LAST
from emo_fairseq.cli import processes

_RESULT_FILE = "batch_size.json"
_BATCH_SIZE, _UPDATE_FREQ = "--batch-size", "--update-freq"


class Trial(Document):
    """Schema of the result of a trial.

    Attributes:
        batch_size: the largest that fits.
        requested: the batch of an update.
        megabytes: memory in use at this size.
        stopped_by: why no larger one was tried, for the user.
    """

    batch_size: Count
    requested: Count
    megabytes: Count
    stopped_by: str


def trial_words(options: argparse.Namespace, words: Sequence[str], folder: Path) -> list[str]:
    """Return the command of a trial."""
    limit = () if options.memory_limit is None else ("--memory-limit", options.memory_limit)
    result = ("--result", folder / _RESULT_FILE)
    return processes.module("emo_fairseq.cli.train.batch_trial", *limit, *result, "--", *words[1:])


def find_batch_size(
    options: argparse.Namespace, words: Sequence[str], folder: Path
) -> tuple[int, list[str]]:
    """Find the batch size of a training by a trial; one that has begun keeps that of its first.

    Returns:
        The exit code of the trial, and the words of fairseq-train with batches of that size.
    """
    file = folder / _RESULT_FILE
    if not (file.is_file() and (folder / LAST).is_file()):
        folder.mkdir(parents=True, exist_ok=True)
        trial = trial_words(options, words, folder)
        if code := processes.explained(trial, processes.run(trial)):
            return code, list(words)
    earlier = load_json(file, Trial, remedy="remove it, and run the command again")
    n_batches = earlier.requested // earlier.batch_size
    processes.write(
        f"# --batch-size {earlier.batch_size}: {earlier.megabytes} MB; {earlier.stopped_by}; "
        f"updates of {earlier.batch_size * n_batches} utterances by --update-freq {n_batches}"
    )
    return 0, _with_batch_size(words, earlier.batch_size, n_batches)


def _with_batch_size(words: Sequence[str], batch_size: int, n_batches: int) -> list[str]:
    """Return the words of fairseq-train with another batch size, the last one given.

    >>> _with_batch_size(["fairseq-train", "--batch-size", "32", "--cpu"], 8, 4)
    ['fairseq-train', '--batch-size', '8', '--cpu', '--update-freq', '4']
    """
    changed = list(words)
    changed[changed.index(_BATCH_SIZE) + 1] = str(batch_size)
    return [*changed, _UPDATE_FREQ, str(n_batches)]
