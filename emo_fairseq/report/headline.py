"""What stands first of a system: what it was measured on, its figures, and those beside them."""

import math
from collections.abc import Iterator, Sequence

import torch

from emo_fairseq.evaluation.bootstrap import NOT_SEEDS, OVER_SPEAKERS, OVER_UTTERANCES
from emo_fairseq.report.figures import headlines, suffix_of
from emo_fairseq.report.numbers import UNDEFINED, between, count, number
from emo_fairseq.report.part import SPEAKERS, UTTERANCES, Part
from emo_fairseq.report.plots.plot import Table
from emo_fairseq.report.statistics import statistics_of
from emo_fairseq.report.system import Labels

_CALIBRATION = {"ece": "ECE, 15 bins", "brier": "Brier score", "nll": "log loss, nats"}
_NOT_SAID = "not known without --data"


def facts_of(part: Part) -> dict[str, str]:
    """Corpus, protocol, split and size."""
    system, corpus = part.system, part.facts.corpus
    facts = {
        "corpus": _NOT_SAID if corpus is None else corpus.name,
        "split": part.split,
        "utterances": f"{len(system.ids):,}",
    }
    speakers = set(part.facts.column("speaker")) - {None}
    if speakers:
        facts["speakers"] = f"{len(speakers):,}"
    facts["labels" if isinstance(system, Labels) else "axes"] = ", ".join(system.names)
    if corpus is not None:
        facts["protocol"] = corpus.protocol
        ceilings = corpus.ceilings or {}
        facts["ceilings"] = ", ".join(f"{name} {x}" for name, x in ceilings.items())
        facts["licence"], facts["citation"] = corpus.licence, corpus.citation
    return {name: text for name, text in facts.items() if text}


def notes_of(part: Part) -> Iterator[str]:
    """What a reader has to know before comparing."""
    yield from (f"Leak allowed: {leak}." for leak in part.leaks)
    system, unknown = part.system, sum(row is None for row in part.facts.rows)
    if part.facts.is_given and unknown:
        yield f"{count(unknown, 'utterance')} not in the manifests of --data."
    yield (
        f"Intervals over utterances: {OVER_UTTERANCES}. Over speakers: {OVER_SPEAKERS}. "
        f"{NOT_SEEDS[0].upper()}{NOT_SEEDS[1:]}."
    )
    if SPEAKERS not in part.intervals and any(part.facts.column("speaker")):
        yield f"{part.speakers.refusal}."
    if isinstance(system, Labels):
        majority = system.names[system.constant().prediction[0]]
        yield f"Majority: always saying {majority}, the most frequent truth of this split."
    else:
        yield "Constant: always saying the mean truth of this split, which has no correlation."
        missing = int(system.truth.isnan().any(dim=1).sum())
        if missing:
            yield f"{count(missing, 'utterance')} without a truth on some axis, left out there."


def card_lines(part: Part) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Name, value and what is beside it, of the first figures."""
    suffix = suffix_of(part.system)
    for name, written in list(headlines(part.system).items())[:4]:
        low_high = between(*part.intervals[UTTERANCES][name])
        beside = f"{suffix.removeprefix('_')} {number(part.figures[name + suffix])}"
        lines = (f"95 %: {low_high}", beside)
        yield written, number(part.figures[name]), lines


def figure_table(part: Part) -> Table:
    """Every figure that is not of one label, with its intervals and the baseline's."""
    suffix = suffix_of(part.system)
    speakers = len(set(part.facts.column("speaker")) - {None})
    heads = {
        UTTERANCES: "95 % over utterances",
        SPEAKERS: f"95 % over {count(speakers, 'speaker')}",
    }
    rows = []
    for name, written in _written(part).items():
        drawn = [between(*part.intervals[unit][name]) for unit in part.intervals]
        beside = part.figures.get(name + suffix)
        cells = [number(part.figures[name]), *drawn, "–" if beside is None else number(beside)]
        rows.append([written, *cells])
    return Table(["figure", "value", *(heads[u] for u in part.intervals), suffix[1:]], rows)


def _written(part: Part) -> dict[str, str]:
    """The figures of the table, and how they are written."""
    system, known = part.system, headlines(part.system)
    if isinstance(system, Labels):
        names = {**known, **_CALIBRATION}
        for label in system.names if f"binary_f1_{system.names[0]}" in part.figures else ():
            names[f"binary_accuracy_{label}"] = f"yes/no accuracy, {label}"
            names[f"binary_accuracy_{label}_always_no"] = "… always answering no"
            names[f"binary_f1_{label}"] = f"yes/no weighted F1, {label}"
            names[f"binary_f1_{label}_always_no"] = "… always answering no"
        return names
    of_all = {**known, "ccc": "CCC", "pearson": "Pearson", "mae": "MAE", "rmse": "RMSE"}
    names = {}
    for name in part.figures:
        figure, _, axis = name.partition("_")
        if name in of_all:
            names[name] = of_all[name] + (", mean" if len(system.names) > 1 else "")
        elif axis in system.names and figure in of_all:
            names[name] = f"{of_all[figure]}, {axis}"
        elif not name.endswith(suffix_of(system)):
            names[name] = name.replace("_", ", ").capitalize()
    return names


def case_table(part: Part) -> Table | None:
    """The first figures of the utterances that have the same modalities; None if all have."""
    cases = part.facts.modalities()
    if cases is None:
        return None
    statistics, known = statistics_of(part.system), headlines(part.system)
    rows = []
    for case in sorted(set(cases)):
        chosen = torch.tensor([name == case for name in cases])
        figures = statistics.derive(statistics.rows[chosen].sum(dim=0))
        values = [number(figures[name]) for name in known]
        rows.append([case or "neither", f"{int(chosen.sum())}", *values])
    return Table(["what the manifest has", "n", *known.values()], rows)


def run_table(parts: Sequence[Part]) -> Table:
    """The first figures of several runs on the same utterances: mean and standard deviation."""
    rows = []
    for name, written in headlines(parts[0].system).items():
        values = torch.tensor([part.figures[name] for part in parts], dtype=torch.float64)
        spread = float(values.std()) if len(parts) > 1 else math.nan  # divisor n - 1
        mean = f"{number(float(values.mean()))} ± {number(spread)}"
        mean = UNDEFINED if UNDEFINED in mean else mean
        rows.append([written, mean, *(number(x) for x in values.tolist())])
    head = f"mean ± std of {len(parts)}"
    names = [f"{part.run} (leak allowed)" if part.leaks else part.run for part in parts]
    return Table(["figure", head, *names], rows)
