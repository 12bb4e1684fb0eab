"""The files that an evaluation writes, and its metrics on screen or as JSON."""

import argparse
import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from emo_fairseq.cli import processes

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
