"""Recordings of utterances for the page: inside of it, or as links to their files.

Inside, a recording is mono, 16 kHz, FLAC of 16 bits, as a ``data:`` URI: browsers play it without a
network, and the same samples give the same bytes. Of segmented audio it is the segment alone. One
recording has at most :data:`MAX_SECONDS`, its beginning, and all together :data:`MAX_BYTES`.

A link is relative to the page's folder, and opens the file in the browser's own player, which
begins and ends where the segment does.
"""

import base64
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from data_prep.audio.segment import AudioSegment, audio_of
from data_prep.errors import CodedError
from data_prep.manifest.audio_root import audio_root
from data_prep.schema import SAMPLE_RATE, Utterance
from emo_fairseq.errors import UsageError

INLINE, LINK, NONE = "inline", "link", "none"
MODES = (INLINE, LINK, NONE)
MAX_SECONDS = 20
MAX_BYTES = 8_000_000  # of all recordings of a page, as files


@dataclass(frozen=True)
class Clip:
    """A recording as the page has it.

    Attributes:
        url: ``data:`` URI, or a path relative to the page.
        is_link: whether the URL is one of a file beside the page.
        label: such as ``3.4 s``, or the file's name of a link.
    """

    url: str
    is_link: bool
    label: str


@dataclass
class Recordings:
    """Opens the recordings of one page, and counts their bytes.

    Attributes:
        mode: one of `MODES`.
        root: folder that audio paths start from.
        folder: of the page.
        refusal: why there are no recordings at all; empty if there may be.
        n_clips: recordings inside of the page so far.
        n_bytes: of these as files.
        max_bytes: that they may have.
    """

    mode: str = NONE
    root: Path = Path()
    folder: Path = Path()
    refusal: str = ""
    n_clips: int = 0
    n_bytes: int = 0
    max_bytes: int = MAX_BYTES
    _encoded: dict[AudioSegment, tuple[bytes, str]] = field(default_factory=dict)

    def clips(self, rows: Sequence[Utterance | None]) -> Iterator[Clip | str]:
        """Yield the recording of each row, or a sentence why there is none."""
        for row in rows:
            segment = None if row is None else audio_of(row, self.root)
            if segment is None:
                yield "no audio in the manifest"
                continue
            try:
                yield self._link(segment) if self.mode == LINK else self._embed(segment)
            except CodedError as error:
                yield str(error)

    def _link(self, segment: AudioSegment) -> Clip:
        if not segment.path.is_file():
            raise CodedError(f"{segment.path}: there is no such file", "audio-missing")
        url = quote(os.path.relpath(segment.path, self.folder))
        if segment.key:
            end = "" if segment.end is None else f",{segment.end:.3f}"
            url += f"#t={segment.start:.3f}{end}"
        return Clip(url, True, segment.name)

    def _embed(self, segment: AudioSegment) -> Clip:
        if segment not in self._encoded:
            self._encoded[segment] = _encode(segment)
        content, label = self._encoded[segment]
        if self.n_bytes + len(content) > self.max_bytes:
            text = f"the page has {self.max_bytes / 1e6:g} MB of recordings already; --audio link"
            raise CodedError(text, "recordings-too-large")
        self.n_clips += 1
        self.n_bytes += len(content)
        text = base64.b64encode(content).decode("ascii")
        return Clip(f"data:audio/flac;base64,{text}", False, label)


def _encode(segment: AudioSegment) -> tuple[bytes, str]:
    """Return a segment as the content of a FLAC file, and how much of it that is."""
    # Imported here, since parsers name the modes without codecs.
    from data_prep.audio.writing import encode_flac

    samples, _ = segment.load_with_warnings()
    seconds = len(samples) / SAMPLE_RATE
    label = f"{seconds:.1f} s"
    if seconds > MAX_SECONDS:
        label = f"first {MAX_SECONDS} s of {label}"
    return encode_flac(samples[: MAX_SECONDS * SAMPLE_RATE], SAMPLE_RATE), label


def open_recordings(
    mode: str, data_dir: Path | None, data_raw: Path | None, folder: Path
) -> Recordings:
    """Return the recordings of a data dir.

    Raises:
        UsageError: `data_raw` is no folder.
    """
    if data_raw is not None and not data_raw.is_dir():
        raise UsageError(
            f"--data-raw {data_raw}: there is no such folder; give the one that audio paths start "
            "from",
            "data-raw-no-folder",
        )
    if mode == NONE or data_dir is None:
        return Recordings(refusal="--audio none" if mode == NONE else "no --data: no audio")
    try:
        return Recordings(mode, audio_root(data_dir, data_raw), folder, max_bytes=MAX_BYTES)
    except CodedError as error:
        return Recordings(mode, refusal=str(error))
