"""``emotion-recognize evaluate``: score a model on a split with fairseq-validate."""

import argparse
import json
import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
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
_SAVE, _PREDICTIONS = "--save-", "predictions"
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
    about = "score a model on a split, and print its metrics with intervals"
    parser: argparse.ArgumentParser = subcommands.add_parser(
        "evaluate",
        help=about,
        description=f"{about}. fairseq-validate does the scoring; -v shows its command and log.",
        epilog="Options after -- are passed to fairseq-validate unchanged, such as "
        "-- --fold k_fold/2, or -- --mask-modality T.",
    )
    parser.set_defaults(run=run, takes_further=True, loads_models=True)
    option = parser.add_argument
    which = "checkpoint, folder of a training (its best one), or model folder"
    option("model", type=Path, metavar="MODEL", help=which)
    option("data", type=Path, metavar="DATA", help="data dir")
    option("--data-raw", type=Path, metavar="DIR", help="folder that `audio` is relative to")
    option("--split", default="test", help="of the data dir (default: %(default)s)")
    option("--save-predictions", type=Path, metavar="FILE", help="for `emotion-recognize report`")
    option("--json", action="store_true", help="print all metrics as JSON")
    batch = "utterances that are scored at a time (default: %(default)s)"
    option("--batch-size", type=positive_int, default=32, metavar="N", help=batch)
    option("--cpu", action="store_true", help="even where there is a GPU")
    processes.add_verbose(parser)


def run(options: argparse.Namespace) -> int:
    """Score, print the metrics, and return fairseq-validate's exit code.

    Raises:
        UsageError: no such model or data dir.
    """
    if not options.data.is_dir():
        raise UsageError(
            f"{options.data}: there is no such folder; give a data dir", "data-missing"
        )
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, training = _checkpoint_and_training(options.model, Path(folder))
        outputs = _outputs(options)
        predictions = outputs.get(_PREDICTIONS, Path(folder) / "predictions.tsv")
        asked = argparse.Namespace(**{**vars(options), "save_predictions": predictions})
        words = command(asked, checkpoint, training)
        code = processes.run(words) if options.verbose else processes.run_quietly(words)
        if code == 0:
            _print_scores(options, predictions, outputs)
        return code


def _checkpoint_and_training(model: Path, folder: Path) -> tuple[Path, Training]:
    """Return the checkpoint to score; of a model folder one that is written into `folder`."""
    if not is_model_folder(model):
        checkpoint = find_checkpoint(model)
        return checkpoint, training_of_checkpoint(checkpoint)
    from emo_fairseq.export.as_checkpoint import write_checkpoint

    return write_checkpoint(model, folder / "checkpoint.pt"), training_of_folder(model)


def _outputs(options: argparse.Namespace) -> dict[str, Path]:
    """Return the files that were asked for, by the option without its ``--save-``."""
    files = {} if options.save_predictions is None else {_PREDICTIONS: options.save_predictions}
    for word, following in pairwise([*options.further, ""]):
        name, has_value, value = word.removeprefix(_SAVE).partition("=")
        if word.startswith(_SAVE):
            files[name] = Path(value if has_value else following)
    return files


def _print_scores(
    options: argparse.Namespace, predictions: Path, outputs: Mapping[str, Path]
) -> None:
    from data_prep.manifest.provenance import allowed_leaks
    from emo_fairseq.cli.score_table import as_record, rows_by_id, table_lines
    from emo_fairseq.evaluation.statistics import read_predictions

    rows, by_split = rows_by_id(options.data), read_predictions(predictions)
    leaks = allowed_leaks(predictions)
    if options.json:
        record = {
            "splits": {name: as_record(of, rows) for name, of in by_split.items()},
            "files": {name: str(file) for name, file in outputs.items()},
            "leak_allowed": list(leaks),
        }
        processes.write(json.dumps(record, indent=2, allow_nan=False))
        return
    for split, of in by_split.items():
        for line in table_lines(split, {"model": of}, rows, in_detail=True):
            processes.write(line)
    for leak in leaks:
        processes.write(f"leak allowed: {leak}")
    for name, file in outputs.items():
        processes.write(f"{name}: {file}")


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
