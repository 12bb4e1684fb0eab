"""Files of fairseq's mmap format, `.idx` and `.bin` of a split: written, and checked when read.

    .idx   magic "MMIDIDX", version, code of the dtype, N; then sizes int32 (N,) and, in bytes from
           the beginning of .bin, pointers int64 (N,)
    .bin   the ids of all rows, one after the other

fairseq maps both without a check: with wrong pointers every utterance has the ids of another, and a
truncated .bin results in a traceback of numpy, or in none. They are written here, since fairseq's
builder needs seconds to import, and the bytes are the same.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data_prep.errors import (
    Fault,
    ManifestError,
)

_MAGIC = b"MMIDIDX\x00\x00"
_HEADER = struct.Struct("<QBQ")  # version, code of the dtype, N
_VERSION = 1
_DTYPES: dict[int, type[np.integer]] = {  # fairseq's codes of integer types; 6 and 7 are floating
    1: np.uint8,
    2: np.int8,
    3: np.int16,
    4: np.int32,
    5: np.int64,
    8: np.uint16,
    9: np.uint32,
    10: np.uint64,
}
_IDS_AT_ONCE = 1 << 24
_NARROW = {65_500: 8, 2**32 - 1: 9}  # the type of ids, by the size that a vocabulary is below
_WIDE = 5


def write_token_files(
    bin_file: Path, idx_file: Path, rows: Iterable[npt.NDArray[np.int64]], n_symbols: int
) -> None:
    """Write the ids of rows, (n_tokens,) each, in a type that holds `n_symbols`."""
    code = next((code for limit, code in _NARROW.items() if n_symbols < limit), _WIDE)
    dtype, sizes = np.dtype(_DTYPES[code]), array("i")
    with bin_file.open("wb") as file:
        for ids in rows:
            file.write(ids.astype(dtype).tobytes())
            sizes.append(len(ids))
    lengths = np.array(sizes, dtype=np.int32)
    ends = np.cumsum(lengths, dtype=np.int64) * dtype.itemsize
    pointers = np.concatenate([np.zeros(1, np.int64), ends])[: len(lengths)]
    header = _MAGIC + _HEADER.pack(_VERSION, code, len(lengths))
    idx_file.write_bytes(header + lengths.tobytes() + pointers.tobytes())


def check_token_files(prefix: Path, n_symbols: int | None, remedy: str) -> npt.NDArray[np.int32]:
    """Check `prefix`.idx and .bin against each other, and the ids against the vocabulary.

    Returns:
        (N,), the number of ids in each row.

    Raises:
        ManifestError: a file is missing or damaged, they are of different runs, or an id is
            negative or outside the vocabulary; names file and row.
    """
    idx_file, bin_file = (prefix.with_name(f"{prefix.name}.{e}") for e in ("idx", "bin"))
    dtype, sizes, pointers = _read_index(idx_file, remedy)
    ends = np.cumsum(sizes, dtype=np.int64) * np.dtype(dtype).itemsize
    expected = np.concatenate([np.zeros(1, np.int64), ends])[: len(sizes)]
    wrong = np.flatnonzero((sizes < 0) | (pointers != expected))
    if len(wrong):
        row = int(wrong[0])
        problem = f"{sizes[row]} ids at byte {pointers[row]}, where the rows before end at "
        raise _fault(idx_file, f"row {row + 1} of the split: {problem}{expected[row]}", remedy)
    n_bytes = int(ends[-1]) if len(ends) else 0
    try:
        bin_size = bin_file.stat().st_size
    except OSError as error:
        raise _fault(bin_file, f"cannot be read ({error.strerror})", remedy) from error
    if bin_size != n_bytes:
        raise _fault(bin_file, f"{bin_size} bytes where {idx_file.name} counts {n_bytes}", remedy)
    _check_ids(bin_file, dtype, sizes, n_symbols, remedy)
    return sizes


def _read_index(
    file: Path, remedy: str
) -> tuple[type[np.integer], npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _fault(file, f"cannot be read ({error.strerror})", remedy) from error
    start = len(_MAGIC) + _HEADER.size
    if not content.startswith(_MAGIC) or len(content) < start:
        raise _fault(file, "is no index of fairseq's mmap format", remedy)
    version, code, n_rows = _HEADER.unpack_from(content, len(_MAGIC))
    if version != _VERSION or code not in _DTYPES:
        raise _fault(file, f"version {version}, dtype {code}, which hold no token ids", remedy)
    n_bytes = start + n_rows * 12
    if len(content) != n_bytes:
        problem = f"{len(content)} bytes where its {n_rows} rows need {n_bytes}"
        raise _fault(file, problem, remedy)
    sizes = np.frombuffer(content, np.int32, n_rows, start)
    return _DTYPES[code], sizes, np.frombuffer(content, np.int64, n_rows, start + n_rows * 4)


def _check_ids(
    file: Path,
    dtype: type[np.integer],
    sizes: npt.NDArray[np.int32],
    n_symbols: int | None,
    remedy: str,
) -> None:
    if not sizes.sum(dtype=np.int64):
        return
    ids = np.memmap(file, dtype, mode="r")
    most = np.iinfo(np.int64).max if n_symbols is None else n_symbols
    for start in range(0, len(ids), _IDS_AT_ONCE):
        part = ids[start : start + _IDS_AT_ONCE]
        if int(part.min()) >= 0 and int(part.max()) < most:
            continue
        index = start + int(np.flatnonzero((part < 0) | (part >= most))[0])
        row = int(np.searchsorted(np.cumsum(sizes, dtype=np.int64), index, side="right"))
        symbols = f"the {n_symbols} symbols of the vocabulary" if n_symbols else "0 and above"
        raise _fault(
            file, f"row {row + 1} of the split: id {ids[index]} is outside {symbols}", remedy
        )


def _fault(file: Path, problem: str, remedy: str) -> ManifestError:
    return ManifestError(Fault(str(file), None, problem, remedy, "tokens-damaged"))
