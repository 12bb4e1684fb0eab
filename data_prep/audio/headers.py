"""Repair headers without a length, where the samples extend to the end of the file.

Recorders that were killed, and pipes, leave 0 or 0xffffffff as the length. One that updates the
header now and then leaves fewer samples than the file has, as joined files have, too.
"""

from __future__ import annotations

import re
from typing import BinaryIO, Literal, NamedTuple, cast

from data_prep.audio.decoding import AudioError, PatchedFile

_LONGEST_PAGE = 27 + 255 + 255 * 255  # bytes of an Ogg page
_FIRST_PAGE = 2  # flag of the first page of a stream
_UNKNOWN = b"\xff\xff\xff\xff"  # unknown length
_TAIL = 1024  # bytes after the samples that are not a chunk, above which a header is suspicious


def repair_length(file: BinaryIO, head: bytes, size: int) -> tuple[BinaryIO, tuple[str, ...]]:
    """Correct the length in the header of a file that states 0 bytes of samples, but has some.

    Returns:
        The file, with a corrected header; and warnings, if it states fewer samples than the file
        has.
    """
    patches = _repaired_au(head, size) or _repaired_caf(head, size) or _repaired_rf64(head, size)
    if patches:
        return cast(BinaryIO, PatchedFile(file, patches)), ()
    samples = _samples(head)
    if samples is None:
        return file, ()
    begin, stated = samples
    tail = size - begin - stated
    if tail <= _TAIL * bool(stated) or _are_chunks(file, head, begin + stated, size):
        return file, ()
    if stated:
        return file, (
            f"length in doubt: the header counts {stated} of {size - begin} bytes of sound",
        )
    if head[:4] != b"RIFF":
        return file, ()
    return cast(BinaryIO, PatchedFile(file, {4: _UNKNOWN, begin - 4: _UNKNOWN})), ()


def _repaired_au(head: bytes, size: int) -> dict[int, bytes]:
    begin = int.from_bytes(head[4:8], "big")
    is_open = head[:4] == b".snd" and head[8:12] == bytes(4) and size > begin
    return {8: _UNKNOWN} if is_open else {}


def _repaired_caf(head: bytes, size: int) -> dict[int, bytes]:
    """Return patches of a CAF; Core Audio's unknown length, -1, is not supported by libsndfile."""
    at = 8
    while head[:4] == b"caff" and at + 12 <= len(head):
        stated = int.from_bytes(head[at + 4 : at + 12], "big", signed=True)
        if head[at : at + 4] == b"data":
            is_open = stated in (-1, 0) and size > at + 16  # 4 bytes count the edits
            return {at + 4: (size - at - 12).to_bytes(8, "big")} if is_open else {}
        at += 12 + max(stated, 0)
    return {}


def _repaired_rf64(head: bytes, size: int) -> dict[int, bytes]:
    at, data = head.find(b"ds64"), head.find(b"data")
    is_open = head[:4] == b"RF64" and at > 0 and head[at + 16 : at + 24] == bytes(8)
    if not is_open or data < 0 or size <= data + 8:
        return {}
    sizes = (size - 8).to_bytes(8, "little") + (size - data - 8).to_bytes(8, "little")
    return {at + 8: sizes}


class _Layout(NamedTuple):
    """How a format divides a file into chunks: a name of four letters, a size, and the content.

    Attributes:
        begin: offset of the first chunk.
        samples: name of the chunk of samples.
        order: of the bytes of a size.
        n_bytes: of a size.
        is_padded: whether content of an odd size is followed by a byte.
    """

    begin: int
    samples: bytes
    order: Literal["little", "big"]
    n_bytes: int
    is_padded: bool

    def next_chunk(self, at: int, header: bytes) -> int:
        """Return the offset of the chunk after the one at `at`, whose header is given."""
        size = int.from_bytes(header[4 : 4 + self.n_bytes], self.order)
        return at + 4 + self.n_bytes + size + (size % 2 if self.is_padded else 0)


_LAYOUTS = {
    b"RIFF": _Layout(12, b"data", "little", 4, is_padded=True),
    b"RF64": _Layout(12, b"data", "little", 4, is_padded=True),
    b"FORM": _Layout(12, b"SSND", "big", 4, is_padded=True),
    b"caff": _Layout(8, b"data", "big", 8, is_padded=False),
}


def _samples(head: bytes) -> tuple[int, int] | None:
    """Return the offset of the samples, and how many bytes of them are stated; None if unknown."""
    if head[:4] == b".snd":
        return int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
    layout = _LAYOUTS.get(head[:4])
    if layout is None or (head[:4] == b"RIFF" and head[8:12] != b"WAVE"):
        return None
    at, header = layout.begin, 4 + layout.n_bytes
    while at + header <= len(head):
        if head[at : at + 4] == layout.samples:
            stated = int.from_bytes(head[at + 4 : at + header], layout.order)
            if head[:4] == b"RF64" and (ds64 := head.find(b"ds64")) > 0:
                stated = int.from_bytes(head[ds64 + 16 : ds64 + 24], "little")
            return at + header, stated
        at = layout.next_chunk(at, head[at : at + header])
    return None


def _are_chunks(file: BinaryIO, head: bytes, at: int, size: int) -> bool:
    """Return whether the bytes from `at` to the end are chunks, such as LIST, and not samples."""
    layout = _LAYOUTS.get(head[:4])
    if layout is None:
        return False
    at += at % 2 if layout.is_padded else 0
    try:
        while at + 4 + layout.n_bytes <= size:
            file.seek(at)
            header = file.read(4 + layout.n_bytes)
            if not all(0x20 <= byte < 0x7F for byte in header[:4]):
                return False
            at = layout.next_chunk(at, header)
        return at <= size + 1
    finally:
        file.seek(0)


def check_ogg(file: BinaryIO, size: int) -> tuple[str, ...]:
    """Raise AudioError for an Ogg that ends within a page; warn of one without a last page."""
    begin = max(0, size - _LONGEST_PAGE)
    file.seek(begin)
    tail = file.read(_LONGEST_PAGE)
    file.seek(0)
    at = tail.rfind(b"OggS")
    n_segments = tail[at + 26 : at + 27]
    table = tail[at + 27 : at + 27 + n_segments[0]] if n_segments else b""
    if at < 0 or not n_segments or at + 27 + len(table) + sum(table) > len(tail):
        raise AudioError(
            f"truncated: its last page is incomplete, {size} bytes are there", "audio-truncated"
        )
    is_last = tail[at + 5] & 4
    return () if is_last else ("length in doubt: the end of the stream is missing",)


def is_chained_ogg(file: BinaryIO, head: bytes, size: int) -> bool:
    """Return whether an Ogg has several consecutive streams; libsndfile reads only the first.

    Recorders of radio streams write such files. Each page has the number of its stream.
    """
    numbers = set()
    at = 0
    while head[at : at + 4] == b"OggS" and head[at + 5] & _FIRST_PAGE:
        numbers.add(head[at + 14 : at + 18])
        table = head[at + 27 : at + 27 + head[at + 26]]
        at += 27 + len(table) + sum(table)
    file.seek(max(0, size - _LONGEST_PAGE))
    tail = file.read(_LONGEST_PAGE)
    file.seek(0)
    last = tail.rfind(b"OggS")
    return bool(numbers) and last >= 0 and tail[last + 14 : last + 18] not in numbers


def refuse_cut_sphere(head: bytes, frames: int | None) -> None:
    """Raise AudioError if a NIST SPHERE has fewer samples than its text header states."""
    stated = re.search(rb"^sample_count -i (\d{1,15})\s*$", head[:1024], re.MULTILINE)
    if head[:7] == b"NIST_1A" and stated and frames is not None and frames < int(stated[1]):
        raise AudioError(
            f"truncated: {frames} of {int(stated[1])} samples decode", "audio-truncated"
        )
