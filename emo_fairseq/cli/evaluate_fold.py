"""Which rows ``evaluate`` scores for a model that was trained on a fold: never others unasked."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.schema import CORPUS_FILE, read_corpus
from emo_fairseq.errors import UsageError

_FOLD, _OVERRIDES = "--fold", "--model-overrides"  # of fairseq-validate
_WHOLE_SPLIT = (_OVERRIDES, '{"fold": None}')


@dataclass(frozen=True)
class Training:
    """What is recorded of the training that a model is of.

    Attributes:
        fold: PROTOCOL/FOLD, or None.
        data: its data dir; None where no place is recorded.
        corpus: the name in the corpus.yaml of that; None where there was none.
    """

    fold: str | None
    data: Path | None
    corpus: str | None

    def was_on(self, data: Path) -> bool:
        """Whether `data` is the folder that was trained on."""
        return self.data is not None and self.data.resolve() == data.resolve()

    def knows(self, data: Path) -> bool:
        """Whether `data` is of the corpus that was trained on, there or elsewhere."""
        if self.corpus is None:
            return self.was_on(data)
        return (data / CORPUS_FILE).is_file() and read_corpus(data).name == self.corpus


def of_checkpoint(checkpoint: Path) -> Training:
    """Of a checkpoint of fairseq-train."""
    from emo_fairseq.inference.loading import read_checkpoint

    saved = read_checkpoint(checkpoint)
    task, state = saved["cfg"].task, saved.get("task_state", {})
    fold = state.get("fold") or task.get("fold")
    return Training(fold, Path(task.data) if task.data else None, state.get("corpus"))


def of_model_folder(folder: Path) -> Training:
    """Of a model folder that could be read."""
    from emo_fairseq.inference.model_folder import read_config

    state = read_config(folder).state
    return Training(state.fold, None, state.corpus)


def fold_words(training: Training, data: Path, further: Sequence[str]) -> tuple[str, ...]:
    """The words for fairseq-validate that say which fold's sets are scored.

    Args:
        training: see there.
        data: what is scored on.
        further: the user's own words for fairseq-validate, which decide where they speak of folds.

    Raises:
        UsageError: the model was trained on a fold that cannot be told to be one of `data`.
    """
    if training.fold is None or _speaks_of_folds(further):
        return ()
    protocol = training.fold.partition("/")[0]
    has_protocol = (data / "folds" / f"{protocol}.json").is_file()
    if training.knows(data) and has_protocol:
        return (_FOLD, training.fold)
    why = f"has no folds/{protocol}.json" if not has_protocol else "may be of another corpus"
    raise UsageError(
        f"{data}: the model was trained on the fold {training.fold}, and this data dir {why}; add "
        f"`-- {_FOLD} PROTOCOL/FOLD` to score a fold of it, or `-- {shlex.join(_WHOLE_SPLIT)}` to "
        "score the split as it lies on disk"
    )


def _speaks_of_folds(further: Sequence[str]) -> bool:
    """Whether fairseq's options settle the fold.

    >>> _speaks_of_folds(["--fold=k_fold/1"]), _speaks_of_folds(["--mask-modality", "T"])
    (True, False)
    """
    if any(word.partition("=")[0] == _FOLD for word in further):
        return True
    return any(
        word.partition("=")[0] == _OVERRIDES
        and re.search(r"""["']fold["']""", " ".join(further[n : n + 2]))
        for n, word in enumerate(further)
    )
