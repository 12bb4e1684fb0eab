"""Print several models side by side, and how each differs from another."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from emo_fairseq.cli import processes
from emo_fairseq.errors import UsageError

if TYPE_CHECKING:
    from emo_fairseq.cli.score_table import Rows
    from emo_fairseq.evaluation.bootstrap import Difference
    from emo_fairseq.evaluation.statistics import Predictions


@dataclass(frozen=True)
class Pair:
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


def _pairs(
    members: Mapping[str, "Predictions"],
) -> tuple[list[Pair], dict[tuple[str, str], str]]:
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
            pairs.append(Pair(name, ours, first, theirs, n_left_out))
    return pairs, refusals


def print_models(
    options: argparse.Namespace,
    members: Mapping[str, "Predictions"],
    ensemble: Pair | None,
    rows: "Rows",
    leaks: Sequence[str],
) -> None:
    """Print the metrics of all models, and their differences.

    They are of the ensemble from its best member; without one, of each model from the first.
    """
    from emo_fairseq.cli.score_table import as_record, table_lines

    columns = dict(members)
    pairs: list[Pair]
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


def _differences(pair: Pair, rows: "Rows") -> tuple[dict[str, "Difference"], str]:
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


def _difference_record(pair: Pair, rows: "Rows") -> dict[str, Any]:
    from emo_fairseq.evaluation.tables import without_nan

    of_metrics, unit = _differences(pair, rows)
    return {
        "of": [pair.name, pair.other],
        "metrics": {key: without_nan(x._asdict()) for key, x in of_metrics.items()},
        "intervals_over": unit,
        "utterances": len(pair.predictions.ids),
        "rows_left_out": pair.n_left_out,
    }


def _difference_lines(pair: Pair, rows: "Rows", about: str) -> Iterator[str]:
    """Yield the difference of two models, metric by metric.

    In `about`, the words after the other model's name, ``{metric}`` stands for the first metric.
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
        yield f"{left_out} left out, which not all models score"
