"""The length of MP2 and MP3 files, of some of which libsndfile would read the beginning alone.

It reads as many samples as the header counts, or as the first bit rate gives. So it stops at the
end of the first of several files that were joined, and early in a file of a variable bit rate
without a count, as encoders write it to a pipe. Without a count it reads on to the end of the file,
and fails there if more than a kilobyte is neither sound nor a tag.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from enum import Enum, auto
from itertools import islice
from typing import BinaryIO, NamedTuple

_VERSIONS = {3: 1, 2: 2, 0: 4}  # code -> divisor of the sample rate: MPEG 1, 2 and 2.5
_HERTZ = (44100, 48000, 32000)
_KILOBITS = {  # by layer, of MPEG 1; MPEG 2 has those of `_KILOBITS_2`
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_KILOBITS_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_COUNT_WITHIN = 64  # bytes of the first frame in which the header of the counts begins
_JOINED_FRAMES = 3  # that follow the counted ones: some encoders do not count the first
_ID3V1_BYTES = 128
_SKIPPED_BYTES = 1024  # that libsndfile skips at most to find the next frame, besides tags
_APE, _APE_HEADER = b"APETAGEX", 32  # bytes
_PIECE = 1 << 20  # bytes that are read at once


class _Frame(NamedTuple):
    kilobits: int  # per second
    hertz: int
    n_samples: int
    n_bytes: int


class Length(Enum):
    """How libsndfile derives the length of a file."""

    STATED = auto()  # as the header of an MP3 counts it, or a file of another format
    ESTIMATED = auto()  # from the only bit rate, with an error of a frame or of a tag
    WRONG = auto()


def length_of(file: BinaryIO, head: bytes) -> tuple[Length, int | None]:
    """Return how libsndfile derives the length of a file, and that length if it is estimated.

    Its own estimate includes tags: pictures would count as minutes of sound.

    Args:
        file: the file; its position is at 0 afterwards.
        head: its first bytes.

    Returns:
        The derivation; the number of samples of all frames if it is `ESTIMATED`, else None.
    """
    if head[:3] != b"ID3" and _frame(head) is None:
        return Length.STATED, None
    begin = end_of_id3(head)
    try:
        file.seek(begin)
        first = file.read(_COUNT_WITHIN + 32)
        if _frame(first) is None:
            return Length.STATED, None
        name = next((name for name in (b"Xing", b"Info", b"VBRI") if name in first), None)
        n_frames, n_bytes = (0, 0) if name is None else _counts(first, name)
        if not n_frames:
            return _estimated(file, begin)
        has_more = n_bytes > 0 and _has_more(file, begin + n_bytes)
        return (Length.WRONG if has_more else Length.STATED), None
    finally:
        file.seek(0)


def _estimated(file: BinaryIO, begin: int) -> tuple[Length, int | None]:
    """Return the derivation and the length of a file whose header counts nothing."""
    frames = _frames(file, begin)
    first = next(frames)
    n_samples, end = first.n_samples, begin + first.n_bytes
    for frame in frames:
        if (frame.kilobits, frame.hertz) != (first.kilobits, first.hertz):
            return Length.WRONG, None
        n_samples += frame.n_samples
        end += frame.n_bytes
    end += _ape_bytes(file, end)
    if file.seek(0, io.SEEK_END) - end > _SKIPPED_BYTES:
        return Length.WRONG, None
    return Length.ESTIMATED, n_samples


def _ape_bytes(file: BinaryIO, at: int) -> int:
    """Return the bytes of an APEv2 tag at a position, such as one of a picture; 0 without."""
    file.seek(at)
    header = file.read(_APE_HEADER)
    if not header.startswith(_APE):
        return 0
    return _APE_HEADER + int.from_bytes(header[12:16], "little")  # which excludes the header


def end_of_id3(content: bytes) -> int:
    """Return the bytes of an ID3v2 tag at the beginning, whose size has 7 bits a byte."""
    if content[:3] != b"ID3" or len(content) < 10:
        return 0
    length = 0
    for byte in content[6:10]:
        length = length << 7 | byte & 0x7F
    return 10 + length + (10 if content[5] & 0x10 else 0)  # with a footer


def _frame(header: bytes) -> _Frame | None:
    """Return the frame of layer II or III that these four bytes begin; None for other bytes."""
    if len(header) < 4 or header[0] != 0xFF or header[1] < 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bit_rate, rate = header[2] >> 4, header[2] >> 2 & 3
    is_valid = version in _VERSIONS and layer in _KILOBITS and 0 < bit_rate < 15 and rate < 3
    if not is_valid:
        return None
    hertz = _HERTZ[rate] // _VERSIONS[version]
    kilobits = (_KILOBITS[layer] if version == 3 else _KILOBITS_2)[bit_rate - 1]
    n_samples = 576 if layer == 3 and version != 3 else 1152
    padding = header[2] >> 1 & 1
    return _Frame(kilobits, hertz, n_samples, n_samples * kilobits * 125 // hertz + padding)


def _frames(file: BinaryIO, begin: int) -> Iterator[_Frame]:
    """Yield the frames that follow each other from a position on."""
    at, start, piece = begin, begin, b""
    while True:
        if at + 4 > start + len(piece):
            file.seek(at)
            start, piece = at, file.read(_PIECE)
        frame = _frame(piece[at - start : at - start + 4])
        if frame is None:
            return
        yield frame
        at += frame.n_bytes


def _counts(first: bytes, name: bytes) -> tuple[int, int]:
    """Return how many frames and bytes of sound the first frame counts; 0 for what it does not."""
    at = first.index(name) + 4
    if name == b"VBRI":
        n_bytes, n_frames = (_number(first, at + offset) for offset in (6, 10))
        return n_frames, n_bytes
    flags, at = first[at + 3], at + 4
    n_frames = _number(first, at) if flags & 1 else 0
    n_bytes = _number(first, at + 4 * (flags & 1)) if flags & 2 else 0
    return n_frames, n_bytes


def _number(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 4], "big")


def _has_more(file: BinaryIO, at: int) -> bool:
    """Return whether frames begin at a position, or after tags there."""
    file.seek(at)
    if file.read(3) == b"TAG":
        at += _ID3V1_BYTES
    file.seek(at)
    frames = _frames(file, at + end_of_id3(file.read(10)))
    return sum(1 for _ in islice(frames, _JOINED_FRAMES)) == _JOINED_FRAMES
