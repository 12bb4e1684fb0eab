"""Options of ``serve`` for what clients may send, and how fast."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from data_prep.command_line import positive_int, positive_number
from emo_fairseq.serving.limits import MEGABYTE, Limits

_BODIES_HELD = 4  # of the largest size: one client may have half of all


@dataclass(frozen=True)
class _Option:
    """One limit as an option.

    Attributes:
        field: of :class:`Limits`.
        about: the help, without the default.
        unit: of the option, in that of the field.
        parse: reads its value.
    """

    field: str
    about: str
    unit: int = 1
    parse: Callable[[str], Any] = positive_int


_OPTIONS = {
    "--upload-megabytes": _Option(
        "upload_bytes", "largest request, in MB", MEGABYTE, positive_number
    ),
    "--audio-minutes": _Option(
        "audio_seconds", "longest recording, in minutes", 60, positive_number
    ),
    "--text-characters": _Option("text_characters", "longest text, in characters"),
    "--requests-per-second": _Option(
        "requests_per_second", "of one client, in the long run", parse=positive_number
    ),
    "--burst": _Option("burst", "requests that one client may send at once after a pause"),
    "--workers": _Option("workers", "requests, or batches of texts, that are computed at once"),
    "--queue": _Option("waiting", "requests that may wait; the next one is refused"),
    "--answer-seconds": _Option(
        "answer_seconds", "until a response, in seconds; then it is refused", parse=positive_number
    ),
    "--live-sessions": _Option("live_sessions", "live conversations at a time"),
    "--live-minutes": _Option(
        "live_seconds", "of one live conversation, in minutes", 60, positive_number
    ),
    "--live-turn-seconds": _Option(
        "live_turn_seconds",
        "of one turn, in seconds; a longer one is divided",
        parse=positive_number,
    ),
    "--live-idle-seconds": _Option(
        "live_idle_seconds",
        "without a message, in seconds, after which a live conversation ends",
        parse=positive_number,
    ),
    "--live-message-bytes": _Option("live_message_bytes", "largest message of live audio"),
    "--live-queue": _Option(
        "live_waiting_turns", "turns of one that may wait for the model; the next is dropped"
    ),
    "--live-resume-seconds": _Option(
        "live_resume_seconds",
        "that a lost connection may be continued, in seconds",
        parse=positive_number,
    ),
}


def add_limit_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each limit that depends on the machine and on its users."""
    add = parser.add_argument_group("limits").add_argument
    for name, option in _OPTIONS.items():
        default = getattr(Limits, option.field) / option.unit
        about = f"{option.about} (default: {default:g})"
        add(name, dest=option.field, type=option.parse, metavar="N", help=about)


def limits_of(options: argparse.Namespace) -> Limits:
    """Return the limits of the options."""
    given = {
        option.field: getattr(options, option.field) * option.unit
        for option in _OPTIONS.values()
        if getattr(options, option.field) is not None
    }
    if "upload_bytes" in given:
        given["upload_bytes"] = round(given["upload_bytes"])
        given["held_bytes"] = max(Limits.held_bytes, _BODIES_HELD * given["upload_bytes"])
    return Limits(**given)
