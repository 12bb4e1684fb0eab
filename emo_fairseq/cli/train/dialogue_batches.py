"""How many batches an epoch has where a batch holds whole windows of dialogues."""

import argparse
from collections.abc import Sequence

import numpy as np

from data_prep.schema import Utterance
from emo_fairseq.data.dialogue_windows import plan_windows
from emo_fairseq.data.turn_order import group_turns
from emo_fairseq.task_state import TaskOptions

_NO_ENCODER = TaskOptions.model_fields["dialogue_encoder"].default
_WINDOW = TaskOptions.model_fields["dialogue_window"].default
_N_DRAWS = 5  # orders of the windows; their numbers of batches differ by few percent


def read_dialogue_window(words: Sequence[str]) -> int | None:
    """Return the most turns of a window for options of fairseq-train; None without an encoder.

    >>> read_dialogue_window(["--dialogue-encoder", "gru", "--dropout", "0.2"])
    64
    >>> read_dialogue_window(["--dropout", "0.2"])
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--dialogue-encoder", default=_NO_ENCODER)
    parser.add_argument("--dialogue-window", default=str(_WINDOW))
    try:
        options, _ = parser.parse_known_args(words)
        window = int(options.dialogue_window)
    except (argparse.ArgumentError, ValueError):
        return None  # refused by fairseq-train
    return window if options.dialogue_encoder != _NO_ENCODER and window >= 1 else None


def count_dialogue_batches(rows: Sequence[Utterance], window: int, batch_size: int) -> int:
    """Return the mean number of batches in an epoch, over orders of the windows, rounded up.

    A batch has whole windows, so that it is full only where they fit; a window that is larger than
    a batch is one of its own.

    >>> rows = [Utterance(id=f"{d}_{t}", dialogue=d, turn=t) for d in "abcd" for t in range(5)]
    >>> count_dialogue_batches(rows, window=64, batch_size=8)
    4

    Raises:
        CodedError: two rows have the same turn of a dialogue.
    """
    dialogues = group_turns(rows)
    n_singles = len(rows) - sum(map(len, dialogues))  # without dialogue or turn
    sizes = [len(part.rows) for part in plan_windows(dialogues, window, causal=False)]
    sizes += [1] * n_singles
    generator = np.random.default_rng(0)
    counts = [_count_batches(generator.permutation(sizes), batch_size) for _ in range(_N_DRAWS)]
    return int(np.ceil(np.mean(counts)))


def _count_batches(sizes: np.ndarray, batch_size: int) -> int:
    """Return how many batches windows fill, in their order."""
    n_batches = n_turns = 0
    for size in sizes.tolist():
        n_turns += size
        if n_batches == 0 or n_turns > batch_size:
            n_batches, n_turns = n_batches + 1, size
    return n_batches
