"""Systems: runs that differ in nothing but seed, fold and paths; settings: comparable systems."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from emo_fairseq.experiments.options import Options
from emo_fairseq.experiments.results import Result, Unfinished, folds_of
from emo_fairseq.options.differences import changed_options

SeedAndFold = tuple[int, str]
_MOST_OPTIONS = 4  # in the name of a system
_MOST_DIFFERENCES = 8  # in a note


@dataclass(frozen=True)
class System:
    """Runs that differ in nothing but seed, fold and paths.

    Attributes:
        name: unique in the setting.
        results: by seed and fold.
        missing: seeds and folds that the setting has and this system lacks.
    """

    name: str
    results: Mapping[SeedAndFold, Result]
    missing: Sequence[SeedAndFold] = ()

    @property
    def seeds(self) -> list[int]:
        """The seeds of its runs."""
        return sorted({seed for seed, _ in self.results})

    @property
    def first(self) -> Result:
        """One of its runs."""
        return next(iter(self.results.values()))

    def with_seed(self, seed: int) -> "System":
        """Return the system with the runs of one seed."""
        return self._part({key for key in (*self.results, *self.missing) if key[0] == seed})

    def with_fold(self, fold: str) -> "System":
        """Return the system with the runs of one fold."""
        return self._part({key for key in (*self.results, *self.missing) if key[1] == fold})

    def _part(self, keys: set[SeedAndFold]) -> "System":
        results = {key: result for key, result in self.results.items() if key in keys}
        return System(self.name, results, [key for key in self.missing if key in keys])


@dataclass(frozen=True)
class Setting:
    """Systems that were trained on one corpus and tested on one set: one table.

    Attributes:
        trained_on: name of the corpus.
        tested_on: name of the corpus.
        split: of the corpus that they are tested on.
        protocol: of the folds; empty without.
        names: of the labels or axes.
        folds: all folds of the protocol; one empty name without.
        seeds: of all systems.
        systems: the first is the one that others are compared with.
        notes: that belong below its table.
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
        """The results of all systems."""
        return [result for system in self.systems for result in system.results.values()]


def group_by_setting(
    results: Sequence[Result], unfinished: Sequence[Unfinished] = (), baseline: str = ""
) -> list[Setting]:
    """Return a setting for each combination of training set, test set, protocol and label set.

    Args:
        results: of finished runs.
        unfinished: their seeds and folds are missing from the settings that they belong in.
        baseline: part of the name of the system that comes first.
    """
    grouped: dict[object, list[Result]] = {}
    for result in results:
        training = (result.trained_on, result.options.data, result.options.protocol)
        test = (result.tested_on, result.data, result.split, result.predictions.names)
        grouped.setdefault((training, test), []).append(result)
    return [_setting(members, unfinished, baseline) for members in grouped.values()]


def _setting(members: Sequence[Result], unfinished: Sequence[Unfinished], baseline: str) -> Setting:
    first = members[0]
    options = first.options
    not_finished = [
        run.options
        for run in unfinished
        if run.options
        and (run.options.data, run.options.protocol) == (options.data, options.protocol)
    ]
    of_all_runs = [result.options for result in members] + list(not_finished)
    in_runs = sorted({each.fold for each in of_all_runs}, key=lambda name: (len(name), name))
    folds = folds_of(options.data, options.protocol) or in_runs
    seeds = sorted({each.seed for each in of_all_runs})
    systems, notes = group_systems(members)
    expected = [(seed, fold) for seed in seeds for fold in folds]
    systems = [
        replace(system, missing=[key for key in expected if key not in system.results])
        for system in sorted(systems, key=lambda system: baseline not in system.name)
    ]
    return Setting(
        trained_on=first.trained_on,
        tested_on=first.tested_on,
        split=first.split,
        protocol=options.protocol,
        names=first.predictions.names,
        folds=folds,
        seeds=seeds,
        systems=systems,
        notes=[*notes, *_notes_on_differences(systems)],
    )


def group_systems(results: Sequence[Result]) -> tuple[list[System], list[str]]:
    """Return the systems in the order of their first runs, and notes on duplicate runs."""
    systems, notes = [], []
    for name, members in by_system(results).items():
        runs: dict[SeedAndFold, Result] = {}
        for result in members:
            if result.seed_and_fold in runs:
                first = runs[result.seed_and_fold].run.path
                notes.append(f"{result.run.path} is the same run as {first}, and left out")
            else:
                runs[result.seed_and_fold] = result
        systems.append(System(name, runs))
    return systems, notes


def by_system(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return the results of each system by its name, in the order of their first runs."""
    grouped: dict[tuple[tuple[str, str], ...], list[Result]] = {}
    for result in results:
        identity = tuple(sorted(result.options.of_system.items()))
        grouped.setdefault(identity, []).append(result)
    firsts = [
        (members[0].options, members[0].run.hydra_overrides()) for members in grouped.values()
    ]
    return dict(zip(name_systems(firsts), grouped.values(), strict=True))


def _notes_on_differences(systems: Sequence[System]) -> list[str]:
    """How the systems differ from the first; the first few options of long lists."""
    notes = []
    for system in systems[1:]:
        ours, theirs = (each.first.options.of_system for each in (systems[0], system))
        absent = dict.fromkeys(ours.keys() | theirs.keys(), "-")
        changed = changed_options(absent | ours, absent | theirs)
        more = len(changed) - _MOST_DIFFERENCES
        shown = ", ".join(changed[:_MOST_DIFFERENCES])
        shown += f" and {more} more options" if more > 0 else ""
        notes.append(f"{system.name} differs from {systems[0].name}: {shown}")
    return notes


# --- Names of systems: the options in which they differ -------------------------------------------

_Named = dict[str, str]


def name_systems(systems: Sequence[tuple[Options, Sequence[str]]]) -> list[str]:
    """Return a name for each system, different from all others.

    Args:
        systems: the options of each, and the overrides that it was trained with. The overrides that
            differ name it if they distinguish all systems, or else the options that differ do.
    """
    if len(systems) == 1:
        return [str(systems[0][0].get("model._name", "model"))]
    overrides = [_overrides_of_system(*system) for system in systems]
    options = [_without_quotes(each.of_system) for each, _ in systems]
    for candidates in (overrides, options):
        names = _names(candidates)
        if all(names) and len(set(names)) == len(names):
            return names
    times: Counter[str] = Counter()
    unique = []
    for name in names:
        times[name] += 1
        unique.append(f"{name or 'default'} ({times[name]})")
    return unique


def _overrides_of_system(options: Options, overrides: Sequence[str]) -> _Named:
    """Overrides of options in which systems can differ, and of groups of the YAML files."""
    values = {}
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if "." not in key or key in options.of_system:
            values[key] = value.strip("'\"")
    return {key: value for key, value in values.items() if not key.startswith("hydra")}


def _without_quotes(options: _Named) -> _Named:
    return {name: value.strip('"') for name, value in options.items()}


def _names(systems: Sequence[_Named]) -> list[str]:
    keys = list(dict.fromkeys(key for system in systems for key in system))
    keys = [key for key in keys if _differs(key, systems)]
    keys.sort(key=lambda key: not key.endswith("._name"))
    times = Counter(_short(key) for key in keys)
    shown = {key: _short(key) if times[_short(key)] == 1 else key for key in keys}
    names = []
    for system in systems:
        words = [f"{shown[key]}={system[key]}" for key in keys if key in system]
        more = ", …" if len(words) > _MOST_OPTIONS else ""
        names.append(", ".join(words[:_MOST_OPTIONS]) + more)
    return names


def _differs(key: str, systems: Sequence[_Named]) -> bool:
    """Whether an option distinguishes systems: not by being one that only some criterions have."""
    values = [system.get(key) for system in systems]
    if len({value for value in values if value is not None}) > 1:
        return True
    kind = f"{key.partition('.')[0]}._name"
    return None in values and len({system.get(kind) for system in systems}) == 1


def _short(key: str) -> str:
    section, _, option = key.rpartition(".")
    return section if option == "_name" else option
