"""``evaluate A B C DATA``: several models side by side, and with ``--combine`` as an ensemble.

Without it each model after the first is compared with the first, on the rows that both have.
The folder of an ensemble is scored in the same way, by its members and the combination in it.
"""

import argparse
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emo_fairseq.cli import processes
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.model_folder.files import is_ensemble

if TYPE_CHECKING:
    from data_prep.manifest.provenance import Provenance
    from emo_fairseq.cli.score_table import Rows
    from emo_fairseq.evaluation.bootstrap import Difference
    from emo_fairseq.evaluation.ensembles import Stacking
    from emo_fairseq.evaluation.statistics import Predictions
    from emo_fairseq.inference.ensemble_folder import EnsembleFolder

logger = logging.getLogger(__name__)

MEAN, VOTE, STACK = COMBINATIONS = ("mean", "vote", "stack")
BALANCED = "with --combine stack: fit it with rows weighted so that all labels count the same"
_FIT_SPLIT = "valid"

Score = Callable[[Path, str, Path], int]  # (model, split, predictions file to write) -> exit code


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of several models."""
    option = parser.add_argument_group("several models").add_argument
    how = (
        "score their ensemble, too: mean of the probabilities or numbers, vote of the labels, or "
        "stack: a linear model of their outputs"
    )
    option("--combine", choices=COMBINATIONS, help=how)
    fitted = f"split that --combine stack is fitted on (default: {_FIT_SPLIT})"
    option("--fit-split", metavar="NAME", help=fitted)
    option("--balanced", action="store_true", help=BALANCED)


def check_options(options: argparse.Namespace) -> None:
    """Check the options of several models.

    Raises:
        UsageError: one does not act, or the ensemble would be fitted on the scored split.
    """
    is_one = is_one_ensemble(options)
    if is_one and options.combine:
        raise UsageError(
            f"--combine {options.combine}: {options.models[0]} has a combination of its own; leave "
            "it out",
            "options-conflict",
        )
    if len(options.models) < 2 and options.combine:
        raise UsageError(
            f"--combine {options.combine}: there is one model; give several before the data dir",
            "combine-one-model",
        )
    if options.fit_split and options.combine != STACK:
        raise UsageError(
            "--fit-split does not act without --combine stack; leave it out", "option-idle"
        )
    check_balanced(options)
    if options.combine == STACK and (options.fit_split or _FIT_SPLIT) == options.split:
        raise UsageError(
            f"--combine stack: it would be fitted on {options.split}, which is scored; give "
            "another --split or --fit-split",
            "stack-on-scored",
        )
    if len(options.models) > 1 and options.save_predictions and not options.combine:
        raise UsageError(
            "--save-predictions: which of the models? Score one alone, or give --combine",
            "option-incomplete",
        )
    saved = [word for word in options.further if word.startswith("--save-")]
    if (len(options.models) > 1 or is_one) and saved:
        raise UsageError(
            f"{saved[0]}: each of the models would write it; score one alone", "options-conflict"
        )


def check_balanced(options: argparse.Namespace) -> None:
    """Raise a `UsageError` if ``--balanced`` does not act."""
    if options.balanced and options.combine != STACK:
        raise UsageError(
            "--balanced does not act without --combine stack; leave it out", "option-idle"
        )


def is_one_ensemble(options: argparse.Namespace) -> bool:
    """Return whether the only model is the folder of an ensemble."""
    return len(options.models) == 1 and is_ensemble(options.models[0])


def run(options: argparse.Namespace, score: Score, folder: Path) -> int:
    """Score several models, or the members of an ensemble, on one split and print their table.

    Args:
        options: of the command line, checked.
        score: scores a model.
        folder: for files that are read here alone.

    Returns:
        The exit code of the first fairseq-validate that failed, or 0.

    Raises:
        UsageError: the models cannot be combined.
    """
    from emo_fairseq.cli.score_table import rows_by_id

    stored = _open(options)
    models = list(options.models) if stored is None else list(stored.members.values())
    names = model_names(models) if stored is None else list(stored.members)
    splits = [options.split]
    if options.combine == STACK:
        splits.insert(0, options.fit_split or _FIT_SPLIT)
    files: dict[str, list[Path]] = {}
    for split in splits:
        files[split] = [folder / f"{split}.{number}.tsv" for number in range(len(names))]
        for model, file in zip(models, files[split], strict=True):
            if code := score(model, split, file):
                return code
    rows = rows_by_id(options.data)
    members = _read(names, files[options.split])
    ensemble, fitted_on = None, []
    if stored is not None:
        ensemble = _combine(
            members, stored.combination.name, stored.combination.stacking, stored.labels
        )
    elif options.combine == STACK:
        stacked = _fit(_read(names, files[splits[0]]), rows, options.balanced)
        ensemble = _combine(members, STACK, stacked.how)
        fitted_on = [rows[id_] for id_ in stacked.ids if id_ in rows]
    elif options.combine:
        ensemble = _combine(members, options.combine)
    if ensemble is not None and options.save_predictions:
        _save(options, ensemble, files[options.split], splits[0], fitted_on)
    _print(options, members, ensemble, rows, _leaks(files))
    return 0


def _open(options: argparse.Namespace) -> "EnsembleFolder | None":
    """Open the folder of an ensemble, if that is the model."""
    from emo_fairseq.inference.ensemble_folder import open_ensemble

    if not is_one_ensemble(options):
        return None
    opened = open_ensemble(options.models[0])
    if opened.combination.name == STACK:
        logger.warning(
            "%s: does not record the rows that its stacking was fitted on; score it on others",
            opened.file,
        )
    return opened


def model_names(models: Sequence[Path]) -> list[str]:
    """Return a short name for each path: as many of its last parts as make the names distinct.

    >>> model_names([Path("runs/a/best.pt"), Path("runs/b/best.pt")])
    ['a/best.pt', 'b/best.pt']
    """
    for n_parts in range(1, max(len(model.parts) for model in models) + 1):
        names = ["/".join(model.parts[-n_parts:]) for model in models]
        if len(set(names)) == len(names):
            return names
    raise UsageError(
        f"{models[0]}: the same model is given twice; name each once", "combine-model-twice"
    )


def _read(names: Sequence[str], files: Sequence[Path]) -> dict[str, "Predictions"]:
    from emo_fairseq.evaluation.statistics import read_predictions

    members = {}
    for name, file in zip(names, files, strict=True):
        (members[name],) = read_predictions(file).values()
    return members


@dataclass(frozen=True)
class _Stacked:
    """A stacking, and the ids of the rows that it was fitted on."""

    how: "Stacking"
    ids: tuple[str, ...]


def _fit(members: Mapping[str, "Predictions"], rows: "Rows", balanced: bool) -> _Stacked:
    from emo_fairseq.evaluation.ensembles import Stacking, align_members

    aligned, _ = align_members(members)
    ids = aligned[0].ids
    speakers = [rows[id_].speaker if id_ in rows else None for id_ in ids]
    return _Stacked(Stacking.fit(aligned, speakers, balanced), ids)


@dataclass(frozen=True)
class _Pair:
    """Predictions beside those of another model, on the rows that all models of both have.

    Attributes:
        name: of the model or of the combination.
        predictions: of it.
        other: name of the model that it is compared with.
        of_other: predictions of that on the same rows.
        n_left_out: rows that some model lacks.
    """

    name: str
    predictions: "Predictions"
    other: str
    of_other: "Predictions"
    n_left_out: int


def _combine(
    members: Mapping[str, "Predictions"],
    name: str,
    stacking: "Stacking | None" = None,
    labels: Sequence[str] | None = None,
) -> _Pair:
    """Return an ensemble beside its member with the best first metric on the scored rows.

    Args:
        members: predictions by model.
        name: of the combination.
        stacking: that is applied, in place of the combination of that name.
        labels: the order in which the stacking has them.
    """
    from emo_fairseq.evaluation import ensembles
    from emo_fairseq.evaluation.names import is_larger_better
    from emo_fairseq.evaluation.statistics import LabelPredictions

    aligned, n_left_out = ensembles.align_members(members, labels)
    how = ensembles.COMBINATIONS.get(name)
    if stacking is not None:
        how = replace(stacking, has_labels=isinstance(aligned[0], LabelPredictions))
    assert how is not None  # a stacking has its numbers
    combined = ensembles.combine(aligned, how)
    key = combined.headline[0]
    sign = 1.0 if is_larger_better(key) else -1.0
    by_name = dict(zip(members, aligned, strict=True))
    best = max(by_name, key=lambda model: sign * by_name[model].statistics().metrics()[key])
    return _Pair(name, combined, best, by_name[best], n_left_out)


def _pairs(
    members: Mapping[str, "Predictions"],
) -> tuple[list[_Pair], dict[tuple[str, str], str]]:
    """Return each model after the first beside the first, and by pair why others are not."""
    from emo_fairseq.evaluation.ensembles import align_members

    (first, reference), *others = members.items()
    pairs, refusals = [], {}
    for name, predictions in others:
        try:
            (ours, theirs), n_left_out = align_members({name: predictions, first: reference})
        except UsageError as error:
            refusals[name, first] = str(error)
        else:
            pairs.append(_Pair(name, ours, first, theirs, n_left_out))
    return pairs, refusals


def _save(
    options: argparse.Namespace,
    ensemble: _Pair,
    files: Sequence[Path],
    fit_split: str,
    fitted_on: Sequence[Any],
) -> None:
    """Write the predictions of the ensemble, with the record of all rows that made it."""
    from data_prep.manifest.provenance import read_beside, seen_rows, write_beside
    from data_prep.schema import read_corpus
    from emo_fairseq.evaluation.predictions import write

    write(options.save_predictions, list(rows_of(ensemble.predictions, options.split)))
    records: list[Provenance] = [x for file in files if (x := read_beside(file)) is not None]
    if fitted_on:
        records.append(seen_rows(fitted_on, read_corpus(options.data).name, fit_split))
    if records:
        write_beside(options.save_predictions, records[0].merged(*records[1:]))


def rows_of(of: "Predictions", split: str) -> Any:
    """Yield the rows of a predictions file."""
    from emo_fairseq.evaluation import predictions
    from emo_fairseq.evaluation.statistics import LabelPredictions

    for row, id_ in enumerate(of.ids):
        if isinstance(of, LabelPredictions):
            assert of.probability is not None
            cells = predictions.label_row(
                of.names,
                int(of.truth[row]),
                int(of.prediction[row]),
                of.probability[row].tolist(),
                None if of.votes is None else of.votes[row].tolist(),
            )
        else:
            truth, prediction = of.truth[row].tolist(), of.prediction[row].tolist()
            cells = predictions.number_row(of.names, truth, prediction)
        yield {"id": id_, "split": split, **cells}


def _leaks(files: Mapping[str, Sequence[Path]]) -> list[str]:
    from data_prep.manifest.provenance import allowed_leaks

    return list(
        dict.fromkeys(x for of in files.values() for file in of for x in allowed_leaks(file))
    )


# -- output ----------------------------------------------------------------------------------------


def _print(
    options: argparse.Namespace,
    members: Mapping[str, "Predictions"],
    ensemble: _Pair | None,
    rows: "Rows",
    leaks: Sequence[str],
) -> None:
    from emo_fairseq.cli.score_table import as_record, table_lines

    columns = dict(members)
    pairs: list[_Pair]
    refusals: dict[tuple[str, str], str]
    if ensemble is None:
        pairs, refusals = _pairs(members)
    else:
        columns[ensemble.name] = ensemble.predictions
        pairs, refusals = [ensemble], {}
    if options.json:
        record: dict[str, Any] = {
            "models": {name: as_record(of, rows) for name, of in columns.items()},
            "leak_allowed": list(leaks),
        }
        records = [_difference_record(pair, rows) for pair in pairs]
        if ensemble is None:
            record["differences"] = records
            record["not_compared"] = [{"of": of, "reason": x} for of, x in refusals.items()]
        else:
            (record["difference"],) = records
        processes.write(json.dumps(record, indent=2, allow_nan=False))
        return
    for line in table_lines(options.split, columns, rows, in_detail=True):
        processes.write(line)
    best = "" if ensemble is None else ", the model with the best {metric}"
    for line in chain.from_iterable(_difference_lines(pair, rows, best) for pair in pairs):
        processes.write(line)
    for (name, other), reason in refusals.items():
        processes.write(f"{name} - {other}: not compared: {reason}")
    for leak in leaks:
        processes.write(f"leak allowed: {leak}")
    if options.save_predictions:
        processes.write(f"predictions: {options.save_predictions}")


def _differences(pair: _Pair, rows: "Rows") -> tuple[dict[str, "Difference"], str]:
    """Return the difference of each headline metric, and what its interval is over."""
    from emo_fairseq.evaluation.bootstrap import Speakers, differences

    ours, theirs = pair.predictions, pair.of_other
    known = [rows.get(id_) for id_ in ours.ids]
    speakers = Speakers.from_names([None if row is None else row.speaker for row in known])
    is_over_speakers = not speakers.refusal
    of, derive = ours.statistics()
    paired = differences(
        of, theirs.statistics().rows, derive, speakers if is_over_speakers else None
    )
    unit = "speakers" if is_over_speakers else "utterances"
    return {key: paired[key] for key in ours.headline}, unit


def _difference_record(pair: _Pair, rows: "Rows") -> dict[str, Any]:
    from emo_fairseq.evaluation.tables import without_nan

    of_metrics, unit = _differences(pair, rows)
    return {
        "of": [pair.name, pair.other],
        "metrics": {key: without_nan(x._asdict()) for key, x in of_metrics.items()},
        "intervals_over": unit,
        "utterances": len(pair.predictions.ids),
        "rows_left_out": pair.n_left_out,
    }


def _difference_lines(pair: _Pair, rows: "Rows", about: str) -> Iterator[str]:
    """Yield the difference of two models, metric by metric.

    Args:
        pair: of the models.
        rows: of the data dir, which name the speakers.
        about: the other model, after its name; ``{metric}`` stands for the first metric.
    """
    from emo_fairseq.cli.score_table import aligned
    from emo_fairseq.evaluation.bootstrap import LEVEL
    from emo_fairseq.evaluation.names import display_name
    from emo_fairseq.evaluation.statistics import LabelPredictions
    from emo_fairseq.evaluation.tables import format_count, format_interval, format_p_value

    of = pair.predictions
    axes = () if isinstance(of, LabelPredictions) else of.names
    of_metrics, unit = _differences(pair, rows)
    names = {key: display_name(key, axes) for key in of_metrics}
    utterances = format_count(len(of.ids), "utterance")
    yield ""
    yield (
        f"{pair.name} - {pair.other}{about.format(metric=names[of.headline[0]])}; paired, on the "
        f"same {utterances}; {LEVEL:.0%} intervals over {unit}"
    )
    cells = []
    for key, (value, low, high, p) in of_metrics.items():
        ends = format_interval((low, high), sign=True)
        cells.append([f"  {names[key]}", f"{value:+.3f} ({ends})", f"p {format_p_value(p)}"])
    yield from aligned(cells)
    if pair.n_left_out:
        left_out = format_count(pair.n_left_out, "utterance")
        yield f"{left_out} left out: not all models have their input"
