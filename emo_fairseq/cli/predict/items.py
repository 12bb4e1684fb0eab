"""Items of ``predict``: audio, a text, a video, with the row of a table that they come from."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from data_prep.audio.segment import AudioSegment, as_segment
from data_prep.errors import CodedError
from data_prep.files.listing import VIDEO_SUFFIXES
from data_prep.files.remote import RemotePath
from data_prep.manifest.cells import find_text_fault
from data_prep.segmentation.turn import Turn
from data_prep.video.segment import VideoSegment
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import SPEECH, TEXT, VIDEO


@dataclass(frozen=True)
class Item:
    """One item to predict.

    Attributes:
        name: in the output.
        audio: a file, or a segment of one.
        text: what was said.
        error: why it cannot be predicted; None if it may be.
        cells: of its row, by column; None for an item of no table.
        speaker: who speaks, of the row; None where that is not known.
        turn: of a segmentation.
        dialogue: that it is a turn of; None where it is none, or the model reads no dialogues.
        position: orders the turns of its dialogue.
        n_following: how many rows of its dialogue come after it.
        video: a file, or a segment of one, whose sound is read, too, where there is no audio.
    """

    name: str
    audio: Path | AudioSegment | None = None
    text: str | None = None
    error: CodedError | None = None
    cells: Mapping[str, Any] | None = None
    speaker: str | None = None
    turn: Turn | None = None
    dialogue: str | None = None
    position: int = 0
    n_following: int = 0
    video: Path | VideoSegment | None = None

    @property
    def recording(self) -> Path | AudioSegment | VideoSegment | None:
        """The audio, or else the video."""
        return self.video if self.audio is None else self.audio


@dataclass(frozen=True)
class Reads:
    """What a model reads.

    Attributes:
        modalities: of text, speech and video.
        transcribes: whether speech without a text is transcribed, and so read by a model of text.
        groups: whether an item is normalized by all items of its speaker.
        dialogues: whether a turn is read with others of its dialogue.
        labels: that the model predicts.
    """

    modalities: Sequence[str] = (TEXT, SPEECH)
    transcribes: bool = False
    groups: bool = False
    dialogues: bool = False
    labels: Sequence[str] = ()

    def has(self, modality: str) -> bool:
        """Return whether an input of a modality is used."""
        return modality in self.modalities or (
            modality == SPEECH and self.transcribes and TEXT in self.modalities
        )

    @property
    def why(self) -> str:
        """Why another input is not used."""
        return f"the model reads {' and '.join(self.modalities)}"


class Source(Protocol):
    """Something that a command line names, opened: a file, a folder, a table, or lines."""

    @property
    def columns(self) -> Sequence[str]:
        """The columns of a table, in order; empty for what is no table."""

    def is_typed(self, reads: Reads) -> bool:
        """Return whether its items may arrive slowly, so that each is predicted at once."""

    def items(self, reads: Reads) -> Iterator[Item]:
        """Yield the items; one that cannot be read has its error."""


@dataclass(frozen=True)
class ListSource:
    """Items that are known already."""

    known: Sequence[Item]
    columns: Sequence[str] = field(default=(), init=False)

    def is_typed(self, reads: Reads) -> bool:
        return False

    def items(self, reads: Reads) -> Iterator[Item]:
        return iter(self.known)


def with_video(item: Item, reads: Reads) -> Item:
    """Return an item whose file is read as a video, where the model reads video and it is one."""
    if item.video is not None or item.audio is None or not reads.has(VIDEO):
        return item
    audio = as_segment(item.audio)
    if audio.path.suffix.lower() not in VIDEO_SUFFIXES or audio.channel is not None:
        return item
    from emo_fairseq.inference.videos import has_pictures

    if isinstance(audio.path, RemotePath) or not has_pictures(audio.path):
        return item
    return replace(item, audio=None, video=VideoSegment(audio.path, audio.start, audio.end))


def checked_item(
    name: str,
    audio: Path | AudioSegment | None,
    text: str | None,
    cells: Mapping[str, Any] | None = None,
) -> Item:
    """Return an item, with its error if its text or its path is invalid."""
    if text is not None and (fault := find_text_fault(text)):
        return Item(name, error=UsageError("; ".join(fault), "text-invalid"), cells=cells)
    try:
        is_path = audio is None or b"\0" not in os.fsencode(as_segment(audio).path)
    except UnicodeEncodeError:
        is_path = False
    error = None if is_path else UsageError(f"{str(audio)!r} is no path", "path-invalid")
    return Item(name, audio, text, error, cells)
