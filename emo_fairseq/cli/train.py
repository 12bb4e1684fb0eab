"""``emotion-recognize train``: run fairseq-train with good defaults for fine-tuning."""

import argparse
from pathlib import Path
from typing import Any

from data_prep.command_line import (
    positive_int,
    positive_number,
)
from emo_fairseq.cli import processes
from emo_fairseq.errors import UsageError
from emo_fairseq.types import TARGETS

_COMMAND_FILE = "command.txt"
_EPILOG = """Options after -- are passed to fairseq-train unchanged, and win:

  emotion-recognize train data/meld --modality T --target emotion --text-encoder hf:models/mpnet
  emotion-recognize train MELD --modality T --target sentiment -- --dropout 0.3 --bf16

A folder with MELD's CSV files is prepared first, and text is tokenized where it is not yet; every
command that is run is printed. An interrupted training is resumed by the same command."""


def add(subcommands: Any) -> None:
    """Add the parser."""
    about = "train a model: prints a fairseq-train command, and runs it"
    parser: argparse.ArgumentParser = subcommands.add_parser(
        "train",
        help=about,
        description=about,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, takes_further=True, loads_models=False)
    option = parser.add_argument
    option("data", type=Path, metavar="DATA", help="data dir; or the folder of MELD's CSV files")
    option("--data-raw", type=Path, metavar="DIR", help="folder that `audio` is relative to")
    option("--fold", metavar="PROTOCOL/FOLD", help="train, valid and test are those of a fold")
    option(
        "--modality", "--modal", default="T+A", help="T, A, V and their sums (default: %(default)s)"
    )
    option(
        "--target",
        "--label-type",
        choices=list(TARGETS),
        default="emotion",
        help="what to predict (default: %(default)s)",
    )
    tuning = parser.add_mutually_exclusive_group().add_argument
    tuning("--freeze", action="store_true", help="freeze pretrained encoders")
    tuning("--lora", action="store_true", help="adapt pretrained encoders by LoRA")
    option("--fusion", metavar="NAME", help="of several modalities (default: cross_attention)")
    spec = "hf:FOLDER, fairseq:CHECKPOINT, features:NAME (default: from scratch)"
    option("--text-encoder", metavar="SPEC", help=spec)
    option("--speech-encoder", metavar="SPEC", help=f"{spec}, over log-mel frames")
    option("--video-encoder", metavar="SPEC", help="features:NAME")
    arch = "robertaEMO, robertaEMO_large, robertaEMO_tiny (default: tiny where one is from scratch)"
    option("--arch", help=arch)
    by_tuning = "(default: by how the encoders are tuned)"
    option("--epochs", type=positive_int, metavar="N", help=f"passes over the data {by_tuning}")
    option("--batch-size", type=positive_int, default=32, metavar="N", help="default: %(default)s")
    option("--lr", type=positive_number, metavar="X", help=f"highest learning rate {by_tuning}")
    option("--seed", type=int, default=1, metavar="N", help="default: %(default)s")
    option("--cpu", action="store_true", help="even where there is a GPU")
    where = (
        "checkpoints go into a folder of it that is named after the model (default: checkpoints)"
    )
    option("--output", type=Path, default=Path("checkpoints"), metavar="DIR", help=where)
    option("--dry-run", action="store_true", help="print the commands without running them")


def run(options: argparse.Namespace) -> int:
    """Run the planned steps of preparation, then train.

    Raises:
        UsageError: data without the inputs or the target, or options that do not fit.
    """
    from emo_fairseq.cli.train_plan import plan_data, plan_training

    data = plan_data(options)
    training = plan_training(options, data)
    for line in training.notes:
        processes.write(f"# {line}")
    steps = [*data.steps, training.words]
    if options.dry_run:
        for words in steps:
            processes.show(words)
        return 0
    for words in data.steps:
        if code := processes.run(words):
            return code
    _claim_folder(training.folder, training.words)
    code = processes.run(training.words)
    if code == 0:
        processes.write(f"# checkpoints: {training.folder}")
        if not (training.folder / "checkpoint_best.pt").is_file():
            processes.write(
                "# no checkpoint_best.pt: no validation had a defined --best-checkpoint-metric; "
                "`emotion-recognize evaluate` scores checkpoint_last.pt, which was not selected"
            )
    return code


def _claim_folder(folder: Path, words: list[str]) -> None:
    """Record the command in its folder; refuse a folder of another one, which fairseq would resume.

    Raises:
        UsageError: the folder has checkpoints of another command.
    """
    note, command = folder / _COMMAND_FILE, "\n".join(words)
    is_other = not note.is_file() or note.read_text(encoding="utf-8") != command
    if (folder / "checkpoint_last.pt").is_file() and is_other:
        raise UsageError(
            f"{folder}: holds a training by another command, see {note.name}, and fairseq would "
            "resume that; give another --output, or remove the folder",
            "output-in-use",
        )
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(command, encoding="utf-8")
