"""``train --fold PROTOCOL``: a training for each fold, and their test sets as one table."""

import argparse
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from data_prep.folds.file import FOLDS_FOLDER, fold_names, folds_path
from data_prep.folds.protocols import PROTOCOLS
from emo_fairseq.cli import processes
from emo_fairseq.cli.train.training import prepare, run_step, train_on
from emo_fairseq.errors import UsageError

if TYPE_CHECKING:
    from emo_fairseq.cli.train.data import DataFolder
    from emo_fairseq.cli.train.ending import Scored
    from emo_fairseq.evaluation.statistics import Predictions

_SPLIT = "test"  # of each fold


def is_all_folds(options: argparse.Namespace) -> bool:
    """Return whether ``--fold`` names a protocol, and no fold of it."""
    return options.fold is not None and "/" not in options.fold


def train_folds(options: argparse.Namespace) -> int:
    """Train and score a model on each fold, and print the metrics of all folds together.

    Folds that are not there are made first, by ``data_prep.folds`` and its defaults.

    Returns:
        The exit code of what failed, else 0.

    Raises:
        UsageError: no such protocol, or options that do not fit the data.
    """
    data, outcome = prepare(options)
    if outcome is not None:
        return outcome.code
    protocol: str = options.fold
    if not folds_path(data.folder, protocol).is_file():
        words = _words_of_folds(data, protocol)
        if options.dry_run:
            processes.show(words)
            processes.write("# the further commands depend on the folds that this one writes")
            return 0
        if code := run_step(words, discard_output=True):
            return code
    code, scored = _train_each(options, data, protocol)
    if code == 0 and scored:
        for line in ["", *_summary_lines(data, protocol, scored)]:
            processes.write(line)
    return code


def _train_each(
    options: argparse.Namespace, data: "DataFolder", protocol: str
) -> "tuple[int, dict[str, Sequence[Scored]]]":
    """Train on each fold, up to one that fails.

    Returns:
        Its exit code, else 0; and the models of each fold, or nothing if one has none.
    """
    scored: dict[str, Sequence[Scored]] = {}
    names = fold_names(folds_path(data.folder, protocol))
    for number, name in enumerate(names, start=1):
        processes.write(f"# fold {name} of {protocol}: {number} of {len(names)}")
        fold = f"{protocol}/{name}"
        output = None if options.output is None else options.output / fold.replace("/", "-")
        of_fold = argparse.Namespace(**{**vars(options), "fold": fold, "output": output})
        outcome = train_on(of_fold, data, has_next=False)
        if outcome.code:
            return outcome.code, {}
        scored[name] = outcome.scored  # empty in a dry run
    return 0, scored if all(scored.values()) else {}


def _words_of_folds(data: "DataFolder", protocol: str) -> list[str]:
    if protocol not in PROTOCOLS:
        known = sorted(path.stem for path in (data.folder / FOLDS_FOLDER).glob("*.json"))
        choices = ", ".join(dict.fromkeys([*known, *PROTOCOLS]))
        raise UsageError(
            f"--fold {protocol}: there is no such protocol; choose one of {choices}",
            "protocol-unknown",
        )
    return processes.module("data_prep.folds", data.folder, "--protocol", protocol)


# -- the summary -----------------------------------------------------------------------------------


def _summary_lines(
    data: "DataFolder", protocol: str, scored: "Mapping[str, Sequence[Scored]]"
) -> Iterator[str]:
    """Yield the metrics of all folds together, those of each, and the next commands."""
    from emo_fairseq.cli.score_table import rows_by_id, table_lines
    from emo_fairseq.evaluation.statistics import pool, read_predictions

    by_model: dict[str, dict[str, Predictions]] = {}
    for fold, models in scored.items():
        for model in models:
            of_model = by_model.setdefault(model.name, {})
            of_model[fold] = read_predictions(model.predictions)[_SPLIT]
    together = {name: pool(folds) for name, folds in by_model.items()}
    heading = f"the test sets of {len(scored)} folds of {protocol} together"
    yield from table_lines(heading, together, rows_by_id(data.folder))
    yield ""
    trained = next(iter(by_model))
    yield from _lines_of_each(trained, by_model[trained])
    yield ""
    files = [str(models[0].predictions) for models in scored.values()]
    yield "predictions of each fold:"
    yield from (f"  {file}" for file in files)
    yield ""
    yield "next:"
    yield f"  {shlex.join(['emotion-recognize', 'report', *files])}"


def _lines_of_each(name: str, folds: "Mapping[str, Predictions]") -> Iterator[str]:
    """Yield a table with a row for each fold, and their mean and standard deviation."""
    from emo_fairseq.cli.score_table import aligned
    from emo_fairseq.evaluation.names import display_name
    from emo_fairseq.evaluation.statistics import LabelPredictions
    from emo_fairseq.evaluation.tables import (
        format_count,
        format_mean,
        format_number,
        mean_and_deviation,
    )

    first = next(iter(folds.values()))
    axes = () if isinstance(first, LabelPredictions) else first.names
    metrics = {fold: of.statistics().metrics() for fold, of in folds.items()}
    heads = [display_name(key, axes) for key in first.headline]
    cells = [[f"{name}, by fold", "", *heads]]
    for fold, of in folds.items():
        values = [format_number(metrics[fold][key]) for key in first.headline]
        cells.append([fold, format_count(len(of.ids), "utterance"), *values])
    of_keys = ([metrics[fold][key] for fold in folds] for key in first.headline)
    means = [format_mean(*mean_and_deviation(values)) for values in of_keys]
    cells.append(["mean ± std", "", *means])
    yield from aligned(cells)
