"""``emotion-recognize evaluate``: score a model on a split with fairseq-validate."""

import argparse
import re
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.commands.number_types import positive_int
from data_prep.schema import CORPUS_FILE, read_corpus
from emo_fairseq.cli import processes
from emo_fairseq.cli.checkpoints import (
    find_checkpoint,
    is_model_folder,
)
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


# -- ``emotion-recognize evaluate``: the figures of a model on a split, by fairseq-validate --------


def add(subcommands: Any) -> None:
    """Add the parser."""
    about = "score a model on a split: prints a fairseq-validate command, and runs it"
    parser: argparse.ArgumentParser = subcommands.add_parser(
        "evaluate",
        help=about,
        description=about,
        epilog="What stands behind -- is handed to fairseq-validate as it is, such as "
        "-- --fold k_fold/2, or -- --mask-modality T.",
    )
    parser.set_defaults(run=run, takes_further=True, loads_models=True)
    option = parser.add_argument
    which = "checkpoint, folder of a training (its best one), or model folder"
    option("model", type=Path, metavar="MODEL", help=which)
    option("data", type=Path, metavar="DATA", help="data dir")
    option("--data-raw", type=Path, metavar="DIR", help="what `audio` is relative to")
    option("--split", default="test", help="default: %(default)s")
    option("--save-predictions", type=Path, metavar="FILE", help="for `emotion-recognize report`")
    option("--batch-size", type=positive_int, default=32, metavar="N", help="default: %(default)s")
    option("--cpu", action="store_true", help="even where there is a GPU")


def run(options: argparse.Namespace) -> int:
    """Score, and return fairseq-validate's exit code.

    Raises:
        UsageError: no such model or data dir.
    """
    if not options.data.is_dir():
        raise UsageError(f"{options.data}: there is no such folder; give a data dir")
    if not is_model_folder(options.model):
        checkpoint = find_checkpoint(options.model)
        return processes.run(command(options, checkpoint, of_checkpoint(checkpoint)))
    from emo_fairseq.export.as_checkpoint import write_checkpoint

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = write_checkpoint(options.model, Path(folder) / "checkpoint.pt")
        processes.say(
            f"# {checkpoint}: {options.model}, as fairseq-validate reads it, until this ends"
        )
        return processes.run(command(options, checkpoint, of_model_folder(options.model)))


def command(options: argparse.Namespace, checkpoint: Path, training: Training) -> list[str]:
    """The words of fairseq-validate.

    Args:
        options: of the command line.
        checkpoint: to be scored.
        training: that it is of. Where the audio of that lay holds for its data dir alone.

    Raises:
        UsageError: it was trained on a fold, and which rows are meant is not clear.
    """
    raw = options.data_raw or (None if training.was_on(options.data) else options.data)
    saved = options.save_predictions
    return [
        *(processes.tool("fairseq-validate"), "--user-dir", str(processes.PLUGIN)),
        *("--task", "emotion_prediction", "--path", str(checkpoint)),
        *("--data", str(options.data), *(() if raw is None else ("--data-raw", str(raw)))),
        *fold_words(training, options.data, options.further),
        *("--valid-subset", options.split, "--batch-size", str(options.batch_size)),
        *(() if saved is None else ("--save-predictions", str(saved))),
        *(("--cpu",) if options.cpu else ()),
        *options.further,
    ]
