"""``emotion-recognize evaluate``: the figures of a model on a split, by fairseq-validate."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from data_prep.commands.number_types import positive_int
from emo_fairseq.cli import processes
from emo_fairseq.cli.checkpoints import (
    find_checkpoint,
    is_model_folder,
)
from emo_fairseq.cli.evaluate_fold import (
    Training,
    fold_words,
    of_checkpoint,
    of_model_folder,
)
from emo_fairseq.errors import UsageError


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
