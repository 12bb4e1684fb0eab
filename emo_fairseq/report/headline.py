"""What stands first of a system: what it was measured on, its figures, and those beside them."""

import math
from collections.abc import Iterator, Sequence

import torch

from emo_fairseq.evaluation.bootstrap import NOT_SEEDS, OVER_SPEAKERS, OVER_UTTERANCES
from emo_fairseq.evaluation.names import OF_PROBABILITIES, display_name
from emo_fairseq.evaluation.statistics import LabelPredictions
from emo_fairseq.evaluation.tables import (
    UNDEFINED,
    Table,
    format_count,
    format_interval,
    format_number,
)
from emo_fairseq.report.part import SPEAKERS, UTTERANCES, Part

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
    facts["labels" if isinstance(system, LabelPredictions) else "axes"] = ", ".join(system.names)
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
        yield f"{format_count(unknown, 'utterance')} not in the manifests of --data."
    yield (
        f"Intervals over utterances: {OVER_UTTERANCES}. Over speakers: {OVER_SPEAKERS}. "
        f"{NOT_SEEDS[0].upper()}{NOT_SEEDS[1:]}."
    )
    if SPEAKERS not in part.intervals and any(part.facts.column("speaker")):
        yield f"{part.speakers.refusal}."
    if isinstance(system, LabelPredictions):
        majority = system.names[system.constant().prediction[0]]
        yield f"Majority: always saying {majority}, the most frequent truth of this split."
    else:
        yield "Constant: always saying the mean truth of this split, which has no correlation."
        missing = int(system.truth.isnan().any(dim=1).sum())
        if missing:
            counted = format_count(missing, "utterance")
            yield f"{counted} without a truth on some axis, left out there."


def card_lines(part: Part) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Name, value and what is beside it, of the first figures."""
    suffix = part.system.baseline_suffix
    for name in part.system.headline[:4]:
        low_high = format_interval(part.intervals[UTTERANCES][name])
        beside = f"{suffix.removeprefix('_')} {format_number(part.figures[name + suffix])}"
        lines = (f"95 %: {low_high}", beside)
        yield display_name(name), format_number(part.figures[name]), lines


def figure_table(part: Part) -> Table:
    """Every figure that is not of one label, with its intervals and the baseline's."""
    suffix = part.system.baseline_suffix
    speakers = len(set(part.facts.column("speaker")) - {None})
    heads = {
        UTTERANCES: "95 % over utterances",
        SPEAKERS: f"95 % over {format_count(speakers, 'speaker')}",
    }
    rows = []
    for name, written in _written(part).items():
        drawn = [format_interval(part.intervals[unit][name]) for unit in part.intervals]
        beside = part.figures.get(name + suffix)
        cells = [
            format_number(part.figures[name]),
            *drawn,
            "–" if beside is None else format_number(beside),
        ]
        rows.append([written, *cells])
    return Table(["figure", "value", *(heads[u] for u in part.intervals), suffix[1:]], rows)


def _written(part: Part) -> dict[str, str]:
    """The figures of the table, and how they are written."""
    system = part.system
    if isinstance(system, LabelPredictions):
        names = {key: display_name(key) for key in (*system.headline, *OF_PROBABILITIES)}
        for label in system.names if f"binary_f1_{system.names[0]}" in part.figures else ():
            for key in (f"binary_accuracy_{label}", f"binary_f1_{label}"):
                names[key] = display_name(key)
                names[f"{key}_always_no"] = "… always answering no"
        return names
    return {
        key: display_name(key, system.names)
        for key in part.figures
        if not key.endswith(system.baseline_suffix)
    }


def case_table(part: Part) -> Table | None:
    """The first figures of the utterances that have the same modalities; None if all have."""
    cases = part.facts.modalities()
    if cases is None:
        return None
    statistics, known = part.system.statistics(), part.system.headline
    rows = []
    for case in sorted(set(cases)):
        chosen = torch.tensor([name == case for name in cases])
        figures = statistics.derive(statistics.rows[chosen].sum(dim=0))
        values = [format_number(figures[name]) for name in known]
        rows.append([case or "neither", f"{int(chosen.sum())}", *values])
    return Table(["what the manifest has", "n", *map(display_name, known)], rows)


def run_table(parts: Sequence[Part]) -> Table:
    """The first figures of several runs on the same utterances: mean and standard deviation."""
    rows = []
    for name in parts[0].system.headline:
        values = torch.tensor([part.figures[name] for part in parts], dtype=torch.float64)
        spread = float(values.std()) if len(parts) > 1 else math.nan  # divisor n - 1
        mean = f"{format_number(float(values.mean()))} ± {format_number(spread)}"
        mean = UNDEFINED if UNDEFINED in mean else mean
        rows.append([display_name(name), mean, *(format_number(x) for x in values.tolist())])
    head = f"mean ± std of {len(parts)}"
    names = [f"{part.run} (leak allowed)" if part.leaks else part.run for part in parts]
    return Table(["figure", head, *names], rows)
