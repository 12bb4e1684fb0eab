"""From results to tables: runs that differ in nothing but seed and fold are one system."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from emo_fairseq.experiments.options import Options
from emo_fairseq.experiments.runs import (
    Result,
    Unfinished,
    folds_there,
)

Place = tuple[int, str]  # seed, fold


@dataclass(frozen=True)
class System:
    """Runs that differ in nothing but seed, fold and paths.

    Attributes:
        name: tells it from the other systems of the table.
        results: by seed and fold.
        missing: seeds and folds that the table has and this system lacks.
    """

    name: str
    results: Mapping[Place, Result]
    missing: Sequence[Place] = ()

    @property
    def seeds(self) -> list[int]:
        """Of its runs."""
        return sorted({seed for seed, _ in self.results})

    @property
    def places(self) -> list[Place]:
        """Of its runs, and of those that are missing."""
        return [*self.results, *self.missing]

    def part(self, places: Sequence[Place]) -> "System":
        """The runs of some seeds and folds."""
        results = {place: x for place, x in self.results.items() if place in places}
        return System(self.name, results, [place for place in self.missing if place in places])


@dataclass(frozen=True)
class Table:
    """Systems that were trained on one corpus and tested on one set.

    Attributes:
        trained_on: name of the corpus.
        tested_on: name of the corpus.
        split: of that corpus.
        protocol: what the folds are of; empty without.
        names: of the labels or axes.
        folds: those that the protocol has; one empty name without.
        seeds: of all systems.
        systems: the first is what others are compared with.
        notes: what is to be known beside the figures.
    """

    trained_on: str
    tested_on: str
    split: str
    protocol: str
    names: tuple[str, ...]
    folds: Sequence[str]
    seeds: Sequence[int]
    systems: Sequence[System]
    notes: Sequence[str] = field(default=())

    @property
    def results(self) -> list[Result]:
        """Of all systems."""
        return [result for system in self.systems for result in system.results.values()]


def make_tables(
    results: Sequence[Result], unfinished: Sequence[Unfinished] = (), baseline: str = ""
) -> list[Table]:
    """A table for each pair of training and test set, protocol and label set.

    Args:
        results: of finished runs.
        unfinished: their seeds and folds are missing from the tables that they belong in.
        baseline: the system whose name holds this comes first.
    """
    grouped: dict[object, list[Result]] = {}
    for one in results:
        training = (one.trained_on, one.options.data, one.options.protocol)
        test = (one.tested_on, one.data, one.split, one.answers.names)
        grouped.setdefault((training, test), []).append(one)
    return [_table(members, unfinished, baseline) for members in grouped.values()]


def _table(members: Sequence[Result], unfinished: Sequence[Unfinished], baseline: str) -> Table:
    first = members[0]
    options = first.options
    lost = [
        run.options
        for run in unfinished
        if run.options
        and (run.options.data, run.options.protocol) == (options.data, options.protocol)
    ]
    seen = [*(result.options for result in members), *lost]
    in_runs = sorted({one.fold for one in seen}, key=lambda name: (len(name), name))
    folds = folds_there(options.data, options.protocol) or in_runs
    seeds = sorted({one.seed for one in seen})
    systems, notes = group_systems(members)
    wanted = [(seed, fold) for seed in seeds for fold in folds]
    systems = [
        replace(system, missing=[place for place in wanted if place not in system.results])
        for system in sorted(systems, key=lambda system: baseline not in system.name)
    ]
    return Table(
        *(first.trained_on, first.tested_on, first.split, options.protocol, first.answers.names),
        *(folds, seeds, systems, [*notes, *_differences(systems)]),
    )


def group_systems(results: Sequence[Result]) -> tuple[list[System], list[str]]:
    """The systems in the order of their first runs, and notes on runs that are there twice."""
    systems, notes = [], []
    for name, members in by_system(results).items():
        runs: dict[Place, Result] = {}
        for result in members:
            if result.place in runs:
                there = runs[result.place].run.path
                notes.append(f"{result.run.path} is the same run as {there}, and left out")
            else:
                runs[result.place] = result
        systems.append(System(name, runs))
    return systems, notes


def by_system(results: Sequence[Result]) -> dict[str, list[Result]]:
    """The results of each system by its name, in the order of their first runs."""
    grouped: dict[tuple[tuple[str, str], ...], list[Result]] = {}
    for result in results:
        identity = tuple(sorted(result.options.of_system.items()))
        grouped.setdefault(identity, []).append(result)
    firsts = [(members[0].options, members[0].run.overrides()) for members in grouped.values()]
    return dict(zip(name_systems(firsts), grouped.values(), strict=True))


def _differences(systems: Sequence[System]) -> list[str]:
    """How the systems differ from the first, in full as far as it is short."""
    notes = []
    for system in systems[1:]:
        ours, theirs = (
            next(iter(one.results.values())).options.of_system for one in (systems[0], system)
        )
        changed = [
            f"{name} {ours.get(name, '-')} -> {theirs.get(name, '-')}"
            for name in sorted(ours.keys() | theirs.keys())
            if ours.get(name) != theirs.get(name)
        ]
        more = f" and {len(changed) - 8} more options" if len(changed) > 8 else ""
        notes.append(
            f"{system.name} differs from {systems[0].name}: {', '.join(changed[:8])}{more}"
        )
    return notes


# --- Names of systems: the options in which they differ -------------------------------------------

_MOST = 4  # options in a name
Named = dict[str, str]


def name_systems(systems: Sequence[tuple[Options, Sequence[str]]]) -> list[str]:
    """A name for each system, different from all others.

    Args:
        systems: the options of each, and the overrides that were given for it. The overrides that
            differ name it if they tell all systems apart, or else the options that differ do.
    """
    if len(systems) == 1:
        return [str(systems[0][0].get("model._name", "model"))]
    options = [options.of_system for options, _ in systems]
    given = [_given(options, overrides) for options, overrides in systems]
    for named in (given, [_without_quotes(one) for one in options]):
        names = _names(named)
        if all(names) and len(set(names)) == len(names):
            return names
    times: Counter[str] = Counter()
    unique = []
    for name in names:
        times[name] += 1
        unique.append(f"{name or 'default'} ({times[name]})")
    return unique


def _given(options: Options, overrides: Sequence[str]) -> Named:
    """Overrides of options in which systems can differ, and of groups of the YAML files."""
    found = {}
    for word in overrides:
        key, _, value = word.lstrip("+~").partition("=")
        if "." not in key or key in options.of_system:
            found[key] = value.strip("'\"")
    return {key: value for key, value in found.items() if not key.startswith("hydra")}


def _without_quotes(options: Named) -> Named:
    return {name: value.strip('"') for name, value in options.items()}


def _names(systems: Sequence[Named]) -> list[str]:
    keys = [key for key in _all_keys(systems) if _differs(key, systems)]
    keys.sort(key=lambda key: not key.endswith("._name"))
    last = Counter(_last(key) for key in keys)
    shown = {key: _last(key) if last[_last(key)] == 1 else key for key in keys}
    names = []
    for system in systems:
        words = [f"{shown[key]}={system[key]}" for key in keys if key in system]
        more = ", …" if len(words) > _MOST else ""
        names.append(", ".join(words[:_MOST]) + more)
    return names


def _all_keys(systems: Sequence[Named]) -> list[str]:
    return list(dict.fromkeys(key for system in systems for key in system))


def _differs(key: str, systems: Sequence[Named]) -> bool:
    """Whether an option tells systems apart: not by being one that only some criterions have."""
    values = [system.get(key) for system in systems]
    if len({value for value in values if value is not None}) > 1:
        return True
    kind = f"{key.partition('.')[0]}._name"
    return None in values and len({system.get(kind) for system in systems}) == 1


def _last(key: str) -> str:
    section, _, option = key.rpartition(".")
    return section if option == "_name" else option
