"""NumPy's files: what is damaged is refused with one line, whatever numpy raises."""

import re
from pathlib import Path

import numpy as np
import pytest
from codes import raises

from data_prep.files.arrays import UnreadableArrayError, load_archive, load_array


def test_arrays_are_loaded_or_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(6.0))
    assert load_array(tmp_path / "a.npy").tolist() == list(range(6))
    assert isinstance(load_array(tmp_path / "a.npy", "r"), np.memmap)


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (6,), ",  # numpy: tokenize.TokenError
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,)}",  # MemoryError
        b"{'descr': '|O', 'fortran_order': False, 'shape': (6,)}",  # pickled
        b"[[[[",
    ],
)
def test_a_damaged_header_is_one_line(tmp_path: Path, header: bytes) -> None:
    np.save(tmp_path / "a.npy", np.arange(6.0))
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[:10] + header.ljust(117) + b"\n" + content[128:])
    with raises("array-unreadable"):
        load_array(tmp_path / "a.npy")


def test_an_archive_is_no_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.arange(3))
    with raises("array-unreadable"):
        load_array(tmp_path / "a.npz")


def test_names_that_an_archive_lacks(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.arange(3))
    assert load_archive(tmp_path / "a.npz", lambda content: content["a"].sum()) == 3
    with pytest.raises(UnreadableArrayError, match=re.escape("cannot be read ('b is not a file")):
        load_archive(tmp_path / "a.npz", lambda content: content["b"])


@pytest.mark.parametrize(("position", "value"), [(8, 99), (6, 1)])  # method of packing, encryption
def test_archives_that_zipfile_cannot_open(tmp_path: Path, position: int, value: int) -> None:
    np.savez(tmp_path / "a.npz", a=np.arange(3))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 2 + position] = value
    content[position] = value
    (tmp_path / "a.npz").write_bytes(content)
    with raises("array-unreadable"):
        load_archive(tmp_path / "a.npz", lambda loaded: loaded["a"])
