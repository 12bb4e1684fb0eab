"""The record that a model keeps of its training, and the fold that it is scored on."""

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
    """The record that a model keeps of its training.

    Attributes:
        fold: PROTOCOL/FOLD, or None.
        data: its data dir; None where none is recorded.
        corpus: the name in the corpus.yaml of the data dir; None where there was none.
    """

    fold: str | None
    data: Path | None
    corpus: str | None

    def was_on(self, data: Path) -> bool:
        """Return whether `data` is the data dir of the training."""
        return self.data is not None and self.data.resolve() == data.resolve()

    def has_corpus_of(self, data: Path) -> bool:
        """Return whether `data` holds the corpus of the training, in the same folder or another."""
        if self.corpus is None:
            return self.was_on(data)
        return (data / CORPUS_FILE).is_file() and read_corpus(data).name == self.corpus


def training_of_checkpoint(checkpoint: Path) -> Training:
    """Read the record in a checkpoint of fairseq-train."""
    from emo_fairseq.inference.checkpoint import read_checkpoint

    saved = read_checkpoint(checkpoint)
    task, state = saved["cfg"].task, saved.get("task_state", {})
    fold = state.get("fold") or task.get("fold")
    return Training(fold, Path(task.data) if task.data else None, state.get("corpus"))


def training_of_folder(folder: Path) -> Training:
    """Read the record in a model folder."""
    from emo_fairseq.inference.model_folder.config import read_config

    state = read_config(folder).state
    return Training(state.fold, None, state.corpus)


def fold_arguments(training: Training, data: Path, further: Sequence[str]) -> tuple[str, ...]:
    """Return the arguments of fairseq-validate that choose the fold, unless `further` ones do.

    Raises:
        UsageError: the model was trained on a fold that may not be one of `data`.
    """
    if training.fold is None or _choose_fold(further):
        return ()
    protocol = training.fold.partition("/")[0]
    has_protocol = (data / "folds" / f"{protocol}.json").is_file()
    if training.has_corpus_of(data) and has_protocol:
        return (_FOLD, training.fold)
    why = f"has no folds/{protocol}.json" if not has_protocol else "may be of another corpus"
    raise UsageError(
        f"{data}: the model was trained on the fold {training.fold}, and this data dir {why}; add "
        f"`-- {_FOLD} PROTOCOL/FOLD` to score a fold of it, or `-- {shlex.join(_WHOLE_SPLIT)}` to "
        "score the whole split",
        "fold-ambiguous",
    )


def _choose_fold(further: Sequence[str]) -> bool:
    """Return whether arguments of fairseq choose the fold.

    >>> _choose_fold(["--fold=k_fold/1"]), _choose_fold(["--mask-modality", "T"])
    (True, False)
    """
    if any(word.partition("=")[0] == _FOLD for word in further):
        return True
    return any(
        word.partition("=")[0] == _OVERRIDES
        and re.search(r"""["']fold["']""", " ".join(further[n : n + 2]))
        for n, word in enumerate(further)
    )
