"""``emotion-recognize evaluate``: score a model on a split with fairseq-validate."""

import argparse
import functools
import json
import tempfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from data_prep.number_types import positive_int
from emo_fairseq.cli import processes
from emo_fairseq.cli.checkpoints import find_checkpoint
from emo_fairseq.cli.evaluate import (
    combination_options,
    fairseq_command,
    recordings,
    several_models,
)
from emo_fairseq.cli.evaluate.training_record import (
    Training,
    training_of_checkpoint,
    training_of_folder,
)
from emo_fairseq.cli.models import MODEL
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.model_folder.files import is_model_folder
from emo_fairseq.requirements import require_training_stack


def add(subcommands: Any, about: str) -> None:
    """Add the parser."""
    parser: argparse.ArgumentParser = subcommands.add_parser(
        "evaluate",
        help=about,
        description=f"{about}. fairseq-validate does the scoring; -v shows its command and log.",
        epilog="Options after -- are passed to fairseq-validate unchanged, such as "
        "-- --fold k_fold/2, or -- --mask-modality T.",
    )
    parser.set_defaults(run=run, takes_further=True, loads_models=True)
    option = parser.add_argument
    option("models", type=Path, nargs="+", metavar="MODEL", help=MODEL)
    option("data", type=Path, metavar="DATA", help="data dir; with --recordings, reference turns")
    option(
        "--data-raw",
        type=Path,
        metavar="DIR",
        help="folder that paths of audio are relative to (default: as corpus.yaml records it)",
    )
    option("--split", default="test", help="split of the data dir to score (default: %(default)s)")
    option(
        "--save-predictions",
        type=Path,
        metavar="FILE",
        help="write predictions, for `emotion-recognize report`",
    )
    option("--json", action="store_true", help="print all metrics as JSON")
    batch = "utterances that are scored at a time (default: %(default)s)"
    option("--batch-size", type=positive_int, default=32, metavar="N", help=batch)
    option("--cpu", action="store_true", help="run on the CPU, even if there is a GPU")
    combination_options.add_options(parser)
    recordings.add_options(parser)
    processes.add_verbose(parser)


def run(options: argparse.Namespace) -> int:
    """Score, print the metrics, and return fairseq-validate's exit code.

    Raises:
        UsageError: no such model or data dir, or an option that does not act.
    """
    recordings.check_options(options)
    if options.recordings:
        return recordings.run(options)
    require_training_stack("emotion-recognize evaluate")
    if not options.data.is_dir():
        raise UsageError(
            f"{options.data}: there is no such folder; give a data dir", "data-missing"
        )
    combination_options.check_options(options)
    with tempfile.TemporaryDirectory() as folder:
        score = functools.partial(_score, options, Path(folder))
        if len(options.models) > 1 or combination_options.is_one_ensemble(options):
            return several_models.run(options, score, Path(folder))
        outputs = output_files(options)
        predictions = outputs.get(PREDICTIONS, Path(folder) / "predictions.tsv")
        code = score(options.models[0], options.split, predictions)
        if code == 0:
            print_scores(options, predictions, outputs)
        return code


def _score(
    options: argparse.Namespace, folder: Path, model: Path, split: str, predictions: Path
) -> int:
    """Score a model, and return fairseq-validate's exit code."""
    checkpoint, training = _checkpoint_and_training(model, folder)
    scoring = argparse.Namespace(
        **{**vars(options), "split": split, "save_predictions": predictions}
    )
    words = fairseq_command.command(scoring, checkpoint, training)
    return processes.run(words) if options.verbose else processes.run_quietly(words)


def _checkpoint_and_training(model: Path, folder: Path) -> tuple[Path, Training]:
    """Return the checkpoint to score; of a model folder one that is written into `folder`."""
    if not is_model_folder(model):
        checkpoint = find_checkpoint(model)
        return checkpoint, training_of_checkpoint(checkpoint)
    from emo_fairseq.export.as_checkpoint import write_checkpoint

    return write_checkpoint(model, folder / "checkpoint.pt"), training_of_folder(model)


PREDICTIONS = "predictions"
_SAVE = "--save-"  # options of fairseq-validate


def output_files(options: argparse.Namespace) -> dict[str, Path]:
    """Return the requested files, by the option without its ``--save-``."""
    files = {} if options.save_predictions is None else {PREDICTIONS: options.save_predictions}
    for word, following in pairwise([*options.further, ""]):
        name, has_value, value = word.removeprefix(_SAVE).partition("=")
        if word.startswith(_SAVE):
            files[name] = Path(value if has_value else following)
    return files


def print_scores(
    options: argparse.Namespace, predictions: Path, outputs: Mapping[str, Path]
) -> None:
    """Print the metrics of a predictions file, and the files that were written."""
    from data_prep.manifest.provenance import allowed_leaks
    from emo_fairseq.cli.score_table import as_record, rows_by_id, table_lines
    from emo_fairseq.evaluation.statistics import read_predictions

    by_split = read_predictions(predictions)
    rows = {split: rows_by_id(options.data, split) for split in by_split}
    leaks = allowed_leaks(predictions)
    if options.json:
        record = {
            "splits": {name: as_record(of, rows[name]) for name, of in by_split.items()},
            "files": {name: str(file) for name, file in outputs.items()},
            "leak_allowed": list(leaks),
        }
        processes.write(json.dumps(record, indent=2, allow_nan=False))
        return
    for split, of in by_split.items():
        for line in table_lines(split, {"model": of}, rows[split], in_detail=True):
            processes.write(line)
    for leak in leaks:
        processes.write(f"leak allowed: {leak}")
    for name, file in outputs.items():
        processes.write(f"{name}: {file}")
