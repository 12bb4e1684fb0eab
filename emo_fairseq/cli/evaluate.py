"""``emotion-recognize evaluate``: score a model on a split with fairseq-validate."""

import argparse
import re
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.command_line import positive_int
from data_prep.manifest.audio_root import audio_root
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
    from emo_fairseq.inference.loading import read_checkpoint

    saved = read_checkpoint(checkpoint)
    task, state = saved["cfg"].task, saved.get("task_state", {})
    fold = state.get("fold") or task.get("fold")
    return Training(fold, Path(task.data) if task.data else None, state.get("corpus"))


def training_of_folder(folder: Path) -> Training:
    """Read the record in a model folder."""
    from emo_fairseq.inference.model_folder import read_config

    state = read_config(folder).state
    return Training(state.fold, None, state.corpus)


def fold_arguments(training: Training, data: Path, further: Sequence[str]) -> tuple[str, ...]:
    """Return the arguments of fairseq-validate that choose the fold whose sets are scored.

    Args:
        training: of the model.
        data: data dir that is scored.
        further: the user's own arguments for fairseq-validate, which win where they choose a fold.

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


# -- the command -----------------------------------------------------------------------------------


def add(subcommands: Any) -> None:
    """Add the parser."""
    about = "score a model on a split: prints a fairseq-validate command, and runs it"
    parser: argparse.ArgumentParser = subcommands.add_parser(
        "evaluate",
        help=about,
        description=about,
        epilog="Options after -- are passed to fairseq-validate unchanged, such as "
        "-- --fold k_fold/2, or -- --mask-modality T.",
    )
    parser.set_defaults(run=run, takes_further=True, loads_models=True)
    option = parser.add_argument
    which = "checkpoint, folder of a training (its best one), or model folder"
    option("model", type=Path, metavar="MODEL", help=which)
    option("data", type=Path, metavar="DATA", help="data dir")
    option("--data-raw", type=Path, metavar="DIR", help="folder that `audio` is relative to")
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
        raise UsageError(
            f"{options.data}: there is no such folder; give a data dir", "data-missing"
        )
    if not is_model_folder(options.model):
        checkpoint = find_checkpoint(options.model)
        return processes.run(command(options, checkpoint, training_of_checkpoint(checkpoint)))
    from emo_fairseq.export.as_checkpoint import write_checkpoint

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = write_checkpoint(options.model, Path(folder) / "checkpoint.pt")
        processes.write(
            f"# {checkpoint}: {options.model}, as fairseq-validate reads it, until this ends"
        )
        return processes.run(command(options, checkpoint, training_of_folder(options.model)))


def command(options: argparse.Namespace, checkpoint: Path, training: Training) -> list[str]:
    """Return the command line of fairseq-validate.

    Args:
        options: of the command line.
        checkpoint: to be scored.
        training: of the checkpoint. Its --data-raw holds for its own data dir alone.

    Raises:
        UsageError: the model was trained on a fold that may not be one of the data dir.
    """
    raw = options.data_raw
    if raw is None and not training.was_on(options.data):
        raw = audio_root(options.data, must_exist=False)
    words = [processes.tool("fairseq-validate"), "--user-dir", str(processes.PLUGIN)]
    words += ["--task", "emotion_prediction", "--path", str(checkpoint)]
    words += ["--data", str(options.data)]
    if raw is not None:
        words += ["--data-raw", str(raw)]
    words += fold_arguments(training, options.data, options.further)
    words += ["--valid-subset", options.split, "--batch-size", str(options.batch_size)]
    if options.save_predictions is not None:
        words += ["--save-predictions", str(options.save_predictions)]
    if options.cpu:
        words += ["--cpu"]
    return [*words, *options.further]
