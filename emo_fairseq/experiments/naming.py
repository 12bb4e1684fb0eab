"""Names of systems: the options in which they differ."""

from collections import Counter
from collections.abc import Sequence

from emo_fairseq.experiments.options import Options

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
