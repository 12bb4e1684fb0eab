"""Which rows of a split a model of dialogues reads, in which windows, and which rows it scores."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from data_prep.errors import CodedError
from emo_fairseq.data.dialogue_windows import Window, plan_windows
from emo_fairseq.data.manifest import Split, report_rows
from emo_fairseq.data.turn_order import find_hidden, group_turns, have_turns
from emo_fairseq.data.usable_rows import find_usable, no_usable_row
from emo_fairseq.errors import UsageError
from emo_fairseq.targets import Target

logger = logging.getLogger(__name__)


class DialogueRows(NamedTuple):
    """The rows of a split that are read as turns.

    Attributes:
        rows: (M,) row numbers in the split, ascending.
        is_scored: (M,) bool; the other rows give context alone.
        windows: of the M turns, each with a turn that is scored.
    """

    rows: np.ndarray
    is_scored: np.ndarray
    windows: list[Window]


def select_turns(
    split: Split,
    target: Target,
    present: Mapping[str, np.ndarray],
    size: int,
    causal: bool,
    labels: Sequence[str] = (),
) -> DialogueRows:
    """Return the turns to be read: those that are scored, and those beside them in a window.

    Rows with a truth and a modality are scored. Rows with a modality alone are turns like others,
    if there is a scored one in their window. A row without dialogue or turn number is a dialogue of
    its own. What is left out, and what gives context alone, is counted in the log.

    Args:
        split: N rows.
        target: what is predicted.
        present: for each modality which rows have it, (N,) bool.
        size: most turns of a window.
        causal: whether turns are predicted from those before them alone.
        labels: of a distribution; see :func:`emo_fairseq.data.usable_rows.find_usable`.

    Raises:
        UsageError: no row can be scored, none names its dialogue, or two have the same turn.
    """
    utterances = split.utterances
    has_input, labeled = find_usable(split, target, present, labels)
    is_single = ~have_turns(utterances)
    if is_single.all():
        raise UsageError(
            f"{split.file}: no row names its dialogue and its turn in it, which "
            "--dialogue-encoder reads; fill the columns dialogue and turn, or train without it",
            "column-empty",
        )
    with _naming(split):
        dialogues = group_turns(utterances, has_input)
    singles = [[row] for row in np.flatnonzero(is_single & has_input).tolist()]
    is_scored = has_input & labeled
    windows = [
        window._replace(scored=window.scored & is_scored[window.rows])
        for window in plan_windows([*dialogues, *singles], size, causal)
    ]
    windows = [window for window in windows if window.scored.any()]
    is_read = np.zeros(len(utterances), dtype=bool)
    is_read[np.concatenate([window.rows for window in windows] or [np.zeros(0, int)])] = True
    columns = " / ".join(target.columns)
    report_rows(split, ~labeled & ~is_read, f"left out, no {columns}")
    report_rows(split, labeled & ~has_input, f"left out, neither of {', '.join(present)}")
    report_rows(split, is_read & ~labeled, f"are read as context alone, no {columns}")
    report_rows(split, is_single & is_read, "have no dialogue or no turn, and so no context")
    if not windows:
        raise no_usable_row(split, target, present)
    rows = np.flatnonzero(is_read)
    logger.info(
        "%s: %d turns are scored and %d read, in %d windows of at most %d turns",
        split.name,
        is_scored.sum(),
        len(rows),
        len(windows),
        size,
    )
    return DialogueRows(
        rows,
        is_scored[rows],
        [window._replace(rows=np.searchsorted(rows, window.rows)) for window in windows],
    )


def report_hidden_turns(split: Split, has_input: np.ndarray, size: int, causal: bool) -> None:
    """Log how many rows of a set of a fold have turns around them that are of another set.

    Args:
        split: a set of a fold.
        has_input: (N,) bool, of all rows on disk which ones can be read.
        size: most turns of a window.
        causal: whether turns are predicted from those before them alone.
    """
    own = np.isin(np.arange(len(has_input)), split.stored_rows)
    n_future = 0 if causal else size - 1
    with _naming(split):
        hidden = find_hidden(split.stored.utterances, has_input, own, size - 1, n_future)
    message = "have turns around them in another set of the fold, which are left out"
    report_rows(split, hidden[split.stored_rows], f"of {split.name} {message}")


@contextlib.contextmanager
def _naming(split: Split) -> Iterator[None]:
    """Put the file of the split before the message of an error."""
    try:
        yield
    except CodedError as error:
        raise UsageError(f"{split.file}: {error}", error.code) from error
