"""Limits of what clients may send: sizes, lengths, times and rates, each with its flag."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from data_prep.number_types import number_from_zero, positive_int, positive_number
from emo_fairseq.errors import UsageError

MEGABYTE = 1_000_000
_BODIES_HELD = 4  # of the largest size: one client may have half of all


@dataclass(frozen=True)
class LimitOption:
    """How a limit is given: by a flag of ``serve``, or by an environment variable.

    Attributes:
        flag: such as ``--burst``.
        about: the help, without the default.
        unit: of the flag, in that of the field.
        parse: reads the value of the flag.
    """

    flag: str
    about: str
    unit: float
    parse: Callable[[str], Any]


_OPTION = "option"  # in the metadata of a field


def _limit(
    default: float,
    flag: str,
    about: str,
    unit: float = 1,
    parse: Callable[[str], Any] | None = None,
) -> Any:
    """Return the field of one limit."""
    if parse is None:
        parse = positive_int if isinstance(default, int) and unit == 1 else positive_number
    return field(default=default, metadata={_OPTION: LimitOption(flag, about, unit, parse)})


@dataclass(frozen=True)
class Limits:
    """Limits of one server process; all are above zero but for two times, which may be zero.

    Each is declared here with its default (in bytes and seconds), its flag and its help.

    Raises:
        UsageError: a limit is out of its range.
    """

    upload_bytes: int = _limit(
        25 * MEGABYTE, "--upload-megabytes", "largest request, in MB", MEGABYTE
    )
    held_bytes: int = _limit(
        250 * MEGABYTE,
        "--held-megabytes",
        "most bytes of all requests in progress, in MB; one client may have half",
        MEGABYTE,
    )
    audio_seconds: float = _limit(15 * 60.0, "--audio-minutes", "longest recording, in minutes", 60)
    video_seconds: float = _limit(5 * 60.0, "--video-minutes", "longest video, in minutes", 60)
    video_frames: int = _limit(
        20_000, "--video-frames", "most frames of a video that are decoded, whatever its rate"
    )
    video_pixels: int = _limit(
        9_000_000, "--video-megapixels", "largest picture of a video, in megapixels", 10**6
    )
    text_characters: int = _limit(5000, "--text-characters", "longest text, in characters")
    rows: int = _limit(64, "--batch-rows", "most inputs of one request")
    segments: int = _limit(
        2000, "--segments", "most windows of a timeline, and turns of a conversation"
    )
    explained_seconds: float = _limit(
        30.0, "--explained-seconds", "longest audio that is explained at once, in seconds"
    )
    requests_per_second: float = _limit(
        2.0, "--requests-per-second", "requests a second of one client, in the long run"
    )
    burst: int = _limit(20, "--burst", "requests that one client may send at once after a pause")
    connections: int = _limit(256, "--connections", "most open connections, idle ones among them")
    threads: int = _limit(2, "--threads", "requests, or batches of them, that are computed at once")
    batch: int = _limit(32, "--batch-size", "most requests that are computed as one batch")
    batch_wait_seconds: float = _limit(
        0.0,
        "--batch-wait-milliseconds",
        "time that a batch with room waits for further requests, in milliseconds",
        1e-3,
        number_from_zero,
    )
    waiting: int = _limit(64, "--queue", "most requests that wait; the next one is refused")
    waiting_seconds: float = _limit(
        60.0, "--queue-seconds", "longest wait of a request, in seconds; then it is refused"
    )
    answer_seconds: float = _limit(
        180.0,
        "--answer-seconds",
        "longest time until a response, in seconds; then the request is refused",
    )
    header_seconds: float = _limit(
        10.0,
        "--header-seconds",
        "longest time until the headers of a request have arrived, in seconds",
    )
    body_seconds: float = _limit(
        60.0, "--body-seconds", "longest time until a body has arrived, in seconds"
    )
    body_bytes_per_second: float = _limit(
        50_000.0, "--body-bytes-per-second", "lowest rate at which a body may arrive"
    )
    body_grace_seconds: float = _limit(
        5.0, "--body-grace-seconds", "time that a body may take beyond that rate, in seconds"
    )
    drain_seconds: float = _limit(
        30.0, "--drain-seconds", "time after SIGTERM for requests that have begun, in seconds"
    )
    drain_delay_seconds: float = _limit(
        0.0,
        "--drain-delay-seconds",
        "time after SIGTERM in which new requests are still taken, in seconds",
        1,
        number_from_zero,
    )
    live_sessions: int = _limit(
        4, "--live-sessions", "most live conversations at a time; one client may have half of them"
    )
    live_seconds: float = _limit(
        60 * 60.0, "--live-minutes", "longest live conversation, in minutes", 60
    )
    live_turn_seconds: float = _limit(
        20.0,
        "--live-turn-seconds",
        "longest live turn, in seconds, 1 to 30; a longer one is divided",
    )
    live_idle_seconds: float = _limit(
        30.0,
        "--live-idle-seconds",
        "time without a message after which a live conversation ends, in seconds",
    )
    live_message_bytes: int = _limit(
        64_000, "--live-message-bytes", "largest message of live audio"
    )
    live_waiting_turns: int = _limit(
        4,
        "--live-queue",
        "most turns of a live conversation that wait for the model; the next is dropped",
    )
    live_resume_seconds: float = _limit(
        60.0,
        "--live-resume-seconds",
        "time in which a lost connection may be continued, in seconds",
    )
    live_ahead_seconds: float = _limit(
        5.0,
        "--live-ahead-seconds",
        "most live audio that may arrive sooner than it can have been recorded, in seconds",
    )

    def __post_init__(self) -> None:
        for name, option in limit_options().items():
            value = getattr(self, name)
            lowest_is_zero = option.parse is number_from_zero
            if not 0 <= value < math.inf or (value == 0 and not lowest_is_zero):
                raise UsageError(
                    f"limit {name} {value}: give a number above zero", "limit-not-positive"
                )


def limit_options() -> dict[str, LimitOption]:
    """Return the option of each limit by the name of its field."""
    return {limit.name: limit.metadata[_OPTION] for limit in fields(Limits)}


def limits_of(given: Mapping[str, float | None]) -> Limits:
    """Return the limits of options, in the units of these; None is the default.

    Bodies that are held grow with the largest request, so that one client may send it.
    """
    values: dict[str, Any] = {}
    for name, option in limit_options().items():
        if (value := given.get(name)) is not None:
            is_whole = isinstance(getattr(Limits, name), int)
            values[name] = round(value * option.unit) if is_whole else value * option.unit
    if "upload_bytes" in values:
        held = max(Limits.held_bytes, _BODIES_HELD * values["upload_bytes"])
        values.setdefault("held_bytes", held)
    return Limits(**values)
