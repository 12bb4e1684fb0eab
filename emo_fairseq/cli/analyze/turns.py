"""Options of how the turns of a recording are found, where no file gives them."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from data_prep.number_types import positive_number
from emo_fairseq.diarization.options import TurnOptions
from emo_fairseq.errors import UsageError

_DEFAULTS = {field.name: field.default for field in fields(TurnOptions)}


@dataclass(frozen=True)
class _Option:
    """An option, by the field of :class:`TurnOptions` that it sets."""

    name: str
    metavar: str
    about: str
    parse: Callable[[str], Any] = positive_number


def _number_or_name(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


OPTIONS: Mapping[str, _Option] = {
    "speakers": _Option(
        "--speakers",
        "N",
        "who speaks: none, auto (voices are clustered, and counted), their number, or channels "
        "(each channel is a speaker)",
        _number_or_name,
    ),
    "min_seconds": _Option("--min-turn", "S", "shorter speech is dropped, and counted"),
    "max_seconds": _Option("--max-turn", "S", "longer speech is cut where it is least like speech"),
    "pause": _Option("--pause", "S", "silence that ends a turn"),
    "threshold": _Option("--speech-threshold", "P", "probability from which sound is speech"),
}


def add_turn_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; one that is not given has the default of :class:`TurnOptions`."""
    group = parser.add_argument_group("turns that are found (extra conversations)")
    for field, option in OPTIONS.items():
        about = f"{option.about} (default: {_DEFAULTS[field]:{'' if field == 'speakers' else 'g'}})"
        group.add_argument(
            option.name, dest=field, type=option.parse, metavar=option.metavar, help=about
        )


def turn_options(options: argparse.Namespace, has_turn_files: bool) -> TurnOptions:
    """Return the options of a command line.

    Raises:
        UsageError: a value is out of its range, or would have no effect.
    """
    given = {
        field: getattr(options, field) for field in OPTIONS if getattr(options, field) is not None
    }
    if given and has_turn_files:
        name = OPTIONS[next(iter(given))].name
        raise UsageError(
            f"{name}: is of turns that are found, and --segments gives them; leave one out",
            "option-idle",
        )
    try:
        return TurnOptions(**given)
    except UsageError as error:
        field, _, problem = str(error).partition(": ")
        raise UsageError(f"{OPTIONS[field].name}: {problem}", error.code) from None
