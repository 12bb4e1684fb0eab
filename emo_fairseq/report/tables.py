"""The tables of a page: what was scored, its metrics, cases of modalities, runs, worst errors."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from data_prep.messages import first_few
from emo_fairseq.evaluation.bootstrap import NOT_SEEDS, OVER_SPEAKERS, OVER_UTTERANCES, Interval
from emo_fairseq.evaluation.names import OF_EACH_LABEL, OF_PRECISION, OF_PROBABILITIES, display_name
from emo_fairseq.evaluation.statistics import LabelPredictions, Metrics, NumberPredictions
from emo_fairseq.evaluation.tables import NONE, Table, format_count, format_interval, format_number
from emo_fairseq.report.annotations import SetCompositions
from emo_fairseq.report.scored_split import SPEAKERS, UTTERANCES, BaselineModel, ScoredSplit

_NO_CORPUS = "not known without --data"
_BASELINE_MODEL = "baseline model"
N_WORST = 20


def facts_of(scored: ScoredSplit) -> dict[str, str]:
    """Return corpus, protocol, split and size."""
    predictions, corpus = scored.predictions, scored.annotations.corpus
    facts = {
        "corpus": _NO_CORPUS if corpus is None else corpus.name,
        "split": scored.split,
        "utterances": f"{len(predictions.ids):,}",
    }
    if speakers := scored.annotations.speakers():
        facts["speakers"] = f"{len(speakers):,}"
    kind = "labels" if isinstance(predictions, LabelPredictions) else "axes"
    facts[kind] = ", ".join(predictions.names)
    if corpus is not None:
        facts["protocol"] = corpus.protocol
        ceilings = corpus.ceilings or {}
        facts["ceilings"] = ", ".join(f"{name} {x}" for name, x in ceilings.items())
        facts["license"], facts["citation"] = corpus.license, corpus.citation
    return {name: text for name, text in facts.items() if text}


def notes_of(scored: ScoredSplit) -> Iterator[str]:
    """Yield notes that matter for comparisons."""
    yield from (f"Leak allowed: {leak}." for leak in scored.leaks)
    yield from (f"Transductive: {note}." for note in scored.transductive)
    predictions, annotations = scored.predictions, scored.annotations
    unknown = sum(row is None for row in annotations.rows)
    if annotations.is_given and unknown:
        yield f"{format_count(unknown, 'utterance')} not in the manifests of --data."
    if other := annotations.ids_of_other_truth(predictions):
        yield (
            f"The truth of {format_count(len(other), 'utterance')} is not that of --data "
            f"({first_few(other)}): labels have changed since these were scored; score them again."
        )
    yield (
        f"Intervals over utterances: {OVER_UTTERANCES}. Over speakers: {OVER_SPEAKERS}. "
        f"{NOT_SEEDS[0].upper()}{NOT_SEEDS[1:]}."
    )
    if scored.baseline is not None:
        counted = format_count(scored.baseline.n_utterances, "utterance")
        yield f"Baseline model: that of --baseline, on {counted}."
    if SPEAKERS not in scored.intervals and annotations.speakers():
        yield f"{scored.speakers.refusal}."
    if isinstance(predictions, LabelPredictions):
        if predictions.votes is not None:
            yield (
                f"{int(predictions.has_truth.sum())} of "
                f"{format_count(len(predictions.ids), 'utterance')} have a majority label. Metrics "
                "of labels are of these; those of votes are of all."
            )
        majority = predictions.names[predictions.constant().prediction[0]]
        beside = ""
        if predictions.votes is not None:
            beside = ", with the mean of its votes as probabilities"
        yield (
            f"Majority: always predicting {majority}, the most frequent truth of this "
            f"split{beside}."
        )
        return
    yield "Constant: always predicting the mean truth of this split, which has no correlation."
    if missing := int(np.isnan(predictions.truth).any(axis=1).sum()):
        counted = format_count(missing, "utterance")
        yield f"{counted} without a truth on some axis, left out there."


def card_lines(scored: ScoredSplit) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Yield name, value and the lines below it of the first metrics."""
    suffix = scored.predictions.baseline_suffix
    for key in scored.predictions.headline[:4]:
        low_high = format_interval(scored.intervals[UTTERANCES][key])
        baseline = f"{suffix.removeprefix('_')} {format_number(scored.metrics[key + suffix])}"
        lines = [f"95 %: {low_high}", baseline]
        if scored.baseline is not None:
            lines.append(f"{_BASELINE_MODEL} {format_number(scored.baseline.metrics[key])}")
        yield display_name(key), format_number(scored.metrics[key]), lines


def metric_table(scored: ScoredSplit) -> Table:
    """Return every metric that is not of one label, with its intervals and the baseline's."""
    suffix = scored.predictions.baseline_suffix
    n_speakers = len(scored.annotations.speakers())
    heads = {
        UTTERANCES: "95 % over utterances",
        SPEAKERS: f"95 % over {format_count(n_speakers, 'speaker')}",
    }
    rows = []
    for key, name in _shown(scored).items():
        ends = [format_interval(of_unit[key]) for of_unit in scored.intervals.values()]
        baseline = scored.metrics.get(key + suffix)
        beside = NONE if baseline is None else format_number(baseline)
        of_model = [] if scored.baseline is None else _cells_of_model(scored.baseline, key)
        rows.append([name, format_number(scored.metrics[key]), *ends, *of_model, beside])
    header = ["metric", "value"] + [heads[unit] for unit in scored.intervals]
    if scored.baseline is not None:
        header += [_BASELINE_MODEL, heads[UTTERANCES]]
    return Table([*header, suffix.removeprefix("_")], rows)


def _cells_of_model(model: BaselineModel, key: str) -> list[str]:
    """Return the value and the interval of a simpler model; dashes of a constant answer's."""
    if key not in model.intervals:
        return [NONE, NONE]
    return [format_number(model.metrics[key]), format_interval(model.intervals[key])]


def _shown(scored: ScoredSplit) -> dict[str, str]:
    """Return the display names of the metrics of the table, by key."""
    predictions = scored.predictions
    if isinstance(predictions, NumberPredictions):
        return {
            key: display_name(key, predictions.names)
            for key in scored.metrics
            if not key.endswith(predictions.baseline_suffix)
        }
    keys = (*predictions.headline, *OF_PRECISION, *OF_PROBABILITIES)
    names = {key: display_name(key) for key in keys}
    if predictions.per_label:
        for label in predictions.names:
            for key in (f"binary_accuracy_{label}", f"binary_f1_{label}"):
                names[key] = display_name(key)
                names[f"{key}_always_no"] = "… always answering no"
    return names


def composition_table(sets: SetCompositions) -> Table:
    """Return what the sets of a fold are made of: rows, speakers, their genders, and labels."""
    counts = {split: dict(_counts(of_set)) for split, of_set in sets.items()}
    names = dict.fromkeys(name for of_set in counts.values() for name in of_set)
    rows = [[name] + [f"{counts[split].get(name, 0):,}" for split in sets] for name in names]
    return Table(["number of", *sets], rows)


def _counts(of_set: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    yield "rows", of_set["rows"]
    if of_set["speakers"]:
        yield "speakers", of_set["speakers"]
    yield from ((f"speakers, {gender}", n) for gender, n in of_set["genders"].items())
    for column, labels in of_set["labels"].items():
        yield from ((f"{column} {label}", n) for label, n in labels.items())


def case_table(scored: ScoredSplit) -> Table | None:
    """Return the first metrics by modalities of the utterances; None if all have the same."""
    cases = scored.annotations.modalities()
    if cases is None:
        return None
    (rows, derive), keys = scored.predictions.statistics(), scored.predictions.headline
    cells = []
    for case in sorted(set(cases)):
        chosen = np.array([name == case for name in cases])
        metrics = derive(rows[chosen].sum(axis=0))
        values = [format_number(metrics[key]) for key in keys]
        cells.append([case or "neither", f"{int(chosen.sum())}", *values])
    return Table(["in the manifest", "n", *map(display_name, keys)], cells)


def class_table(
    predictions: LabelPredictions,
    metrics: Metrics,
    ends: Mapping[str, Interval] | None = None,
    digits: int = 3,
) -> Table:
    """Return recall, precision and F1 of each label."""
    rows = []
    for label, name in enumerate(predictions.names):
        cells = [name, f"{int((predictions.truth == label).sum())}"]
        for of in OF_EACH_LABEL:
            key = f"{of}_{name}"
            cells.append(format_number(metrics[key], digits))
            cells += [] if ends is None else [format_interval(ends[key], digits)]
        rows.append(cells)
    beside = [] if ends is None else ["95 % interval"]
    heads = [x for of in OF_EACH_LABEL for x in (display_name(of), *beside)]
    return Table(["label", "true", *heads], rows)


# -- worst errors ----------------------------------------------------------------------------------


def worst_errors(scored: ScoredSplit) -> tuple[list[int], Table]:
    """Return the utterances with the largest errors, the worst first; ties in the file's order.

    Returns:
        Their rows in the predictions, and a table of them.
    """
    annotations, predictions = scored.annotations, scored.predictions
    if isinstance(predictions, LabelPredictions):
        header, cells = _wrong_labels(predictions)
    else:
        header, cells = _distant_numbers(predictions)
    columns = {name: annotations.column(name) for name in ("speaker", "text")}
    columns = {name: column for name, column in columns.items() if any(column)}
    rows = [
        [predictions.ids[row], *of_row] + [column[row] or "" for column in columns.values()]
        for row, of_row in cells.items()
    ]
    return list(cells), Table(["id", *header, *columns], rows)


Cells = dict[int, list[str]]  # by row of the predictions


def _wrong_labels(of: LabelPredictions) -> tuple[list[str], Cells]:
    """Return the wrong ones whose true label has the smallest probability."""
    assert of.probability is not None  # a predictions file has them
    rows = np.arange(len(of.ids))
    of_truth = of.probability[rows, of.truth.clip(min=0)]
    of_prediction = of.probability[rows, of.prediction]
    is_wrong = of.has_truth & (of.prediction != of.truth) & ~np.isnan(of_truth)
    cells = {
        row: [
            of.names[of.truth[row]],
            of.names[of.prediction[row]],
            _probability(of_prediction[row]),
            _probability(of_truth[row]),
        ]
        for row in _smallest(of_truth, is_wrong)
    }
    return ["truth", "predicted", "p of predicted", "p of truth"], cells


def _distant_numbers(of: NumberPredictions) -> tuple[list[str], Cells]:
    """Return those with the largest Euclidean distance over the axes that were measured."""
    difference = of.prediction - of.truth
    distance = np.sqrt(np.nansum(difference**2, axis=1))
    is_known = ~np.isnan(difference).all(axis=1)
    cells = {}
    for row in _smallest(-distance, is_known):
        pairs = zip(of.truth[row].tolist(), of.prediction[row].tolist(), strict=True)
        shown = [f"{format_number(t, 2, undefined=NONE)} → {p:.2f}" for t, p in pairs]
        cells[row] = [f"{distance[row]:.3f}", *shown]
    return ["error"] + [axis.replace("_", " ") for axis in of.names], cells


def _smallest(values: np.ndarray, counted: np.ndarray) -> list[int]:
    order = np.where(counted, values, np.inf).argsort(kind="stable")
    return order[: min(N_WORST, int(counted.sum()))].tolist()


def _probability(value: float) -> str:
    return "< 0.001" if value < 0.0005 else f"{value:.3f}"
