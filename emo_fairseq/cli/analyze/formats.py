"""The formats that ``analyze`` writes."""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from data_prep.files.replacing import replacing
from data_prep.segmentation.formats import FORMATS as SEGMENTATIONS
from data_prep.segmentation.formats import write_turns
from data_prep.segmentation.turn import Turn
from emo_fairseq.cli.analyze.audformat_tables import check_installed, save_database
from emo_fairseq.cli.analyze.page import render_page
from emo_fairseq.cli.analyze.rows import as_csv, as_jsonl
from emo_fairseq.cli.analyze.sound import MEDIA_TYPE, encode_sound
from emo_fairseq.cli.predict.turn_rows import emotion_of
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.conversation import Conversation, PredictedTurn

EMBED, LINK, NONE = PAGE_AUDIO = ("embed", "link", "none")
EMBEDDED_SECONDS = 7200.0  # by default: a page of longer ones has more than 40 MB


@dataclass(frozen=True)
class Output:
    """A conversation to be written.

    Attributes:
        conversation: with its predictions.
        recording: path of the file.
        target: path that is written.
        page_audio: one of `PAGE_AUDIO`; None: by the length of the recording.
    """

    conversation: Conversation
    recording: Path
    target: Path
    page_audio: str | None = None


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        suffix: after the name of the recording.
        write: what is written of a conversation.
        check: raises a `UsageError` if a library is missing.
    """

    suffix: str
    write: Callable[[Output], None]
    check: Callable[[], None] = lambda: None


def _write_text(text: str, target: Path) -> None:
    """Write a file at once; bytes of a file name that are not UTF-8 are escaped."""
    with replacing(target) as part:
        part.write_bytes(text.encode("utf-8", "backslashreplace"))


def _as_text(render: Callable[[Conversation], str]) -> Callable[[Output], None]:
    return lambda output: _write_text(render(output.conversation), output.target)


def _as_turns(conversation: Conversation, kind: str) -> str:
    turns = conversation.turns
    return write_turns(
        [_plain_turn(turn) for turn in turns],
        kind,
        recording=conversation.recording,
        labels=[None if turn.prediction is None else emotion_of(turn.prediction) for turn in turns],
    )


def _plain_turn(turn: PredictedTurn) -> Turn:
    """Return a turn with its transcript on one line: an empty one would end a subtitle."""
    return replace(turn.turn, text=" ".join((turn.text or "").split()) or None)


def _write_page(output: Output) -> None:
    how = output.page_audio
    if how is None:
        seconds = output.conversation.seconds
        how = LINK if seconds is not None and seconds > EMBEDDED_SECONDS else EMBED
        how = NONE if seconds is None else how
    sound = encode_sound(output.recording) if how == EMBED else None
    link = _address(output.recording, output.target.parent) if how == LINK else None
    document = output.conversation.to_document()
    page = render_page(document, sound=sound, media_type=MEDIA_TYPE, link=link)
    _write_text(page, output.target)


def _address(recording: Path, folder: Path) -> str:
    """Return the relative address of a recording from a folder."""
    path = os.path.relpath(recording.resolve(), folder.resolve()).replace(os.sep, "/")
    return quote(os.fsencode(path), safe="/")


FORMATS: Mapping[str, Format] = {
    "csv": Format(".csv", _as_text(as_csv)),
    "jsonl": Format(".jsonl", _as_text(as_jsonl)),
    **{
        name: Format(known.suffix, _as_text(functools.partial(_as_turns, kind=name)))
        for name, known in SEGMENTATIONS.items()
        if known.holds_turns and known.write is not None
    },
    "audformat": Format(
        ".audformat",
        lambda output: save_database(output.conversation, output.target),
        check_installed,
    ),
    "page": Format(".conversation.html", _write_page),
}


def parse_formats(names: str) -> Sequence[str]:
    """Return the formats of ``--formats``.

    >>> parse_formats("csv, page")
    ['csv', 'page']

    Raises:
        UsageError: one is unknown, or needs a library that is not installed.
    """
    wanted = list(dict.fromkeys(name.strip().lower() for name in names.split(",") if name.strip()))
    for name in wanted:
        if name not in FORMATS:
            raise UsageError(
                f"--formats {names}: {name!r} is none of {', '.join(FORMATS)}", "format-unknown"
            )
        FORMATS[name].check()
    if not wanted:
        raise UsageError(
            f"--formats: names no format; give some of {', '.join(FORMATS)}", "format-unknown"
        )
    return wanted
