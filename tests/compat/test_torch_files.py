"""Files of torch.save: their checksums are compared before anything is loaded."""

import pickle
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from codes import raises

from data_prep.files import digests
from emo_fairseq.compat import torch_files
from emo_fairseq.compat.torch_files import (
    check_torch_file,
    load_torch_file,
    reason,
    refuse_non_finite,
)

Damage = Callable[[bytearray], None]


@pytest.fixture(autouse=True)
def _memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMO_FAIRSEQ_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    saved = tmp_path / "model.pt"
    torch.save({"model": {"weight": torch.arange(1000.0)}, "updates": 7}, saved)
    return saved


def place_of(file: Path, member: str) -> slice:
    """Where the bytes of a member lie."""
    with zipfile.ZipFile(file) as archive:
        info = archive.getinfo(member)
        content = archive.read(info)
    start = file.read_bytes().index(content)
    return slice(start, start + len(content))


def flip(content: bytearray) -> None:
    content[len(content) // 2] ^= 0x10


def zero(content: bytearray) -> None:
    content[:] = b"\0" * len(content)


def swap_halves(content: bytearray) -> None:
    middle = len(content) // 2
    content[:] = content[middle:] + content[:middle]


DAMAGES: Sequence[Damage] = (flip, zero, swap_halves)


def damage(file: Path, member: str, change: Damage) -> None:
    content, place = bytearray(file.read_bytes()), place_of(file, member)
    part = content[place]
    change(part)
    content[place] = part
    file.write_bytes(content)


@pytest.mark.parametrize("change", DAMAGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("member", ["model/data/0", "model/data.pkl"])
def test_a_damaged_archive_is_refused(file: Path, member: str, change: Damage) -> None:
    damage(file, member, change)
    with raises("file-damaged") as error:
        load_torch_file(file)
    assert member in str(error.value)


def test_torch_itself_takes_it(file: Path) -> None:
    """If it refuses one day, this check may go."""
    damage(file, "model/data/0", flip)
    loaded = torch.load(file, weights_only=True)
    assert not torch.equal(loaded["model"]["weight"], torch.arange(1000.0))


def test_what_is_read_without_tensors_is_checked_alone(file: Path) -> None:
    damage(file, "model/data/0", flip)
    assert load_torch_file(file, with_tensors=False)["updates"] == 7
    damage(file, "model/data.pkl", flip)
    with raises("file-damaged"):
        load_torch_file(file, with_tensors=False)


def test_a_directory_that_names_no_member_is_refused(file: Path) -> None:
    content = bytearray(file.read_bytes())
    first = content.index(b"PK\x03\x04")
    content[first : first + 4] = b"PK\0\0"  # the header of the first member
    file.write_bytes(content)
    with raises("file-damaged"):
        check_torch_file(file)


def test_an_unchanged_file_is_checked_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_MIN_AGE_SECONDS", -10.0)
    read = []
    check = torch_files._check
    monkeypatch.setattr(torch_files, "_check", lambda *a, **k: read.append(a) or check(*a, **k))
    for _ in range(3):
        assert load_torch_file(file)["updates"] == 7
    assert len(read) == 1
    damage(file, "model/data/0", flip)
    with raises("file-damaged"):
        load_torch_file(file)


def test_a_file_without_checksums_is_loaded(tmp_path: Path) -> None:
    torch.save({"updates": 7}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert load_torch_file(tmp_path / "old.pt")["updates"] == 7
    check_torch_file(tmp_path / "none.pt")  # refused where it is opened


def test_weights_that_are_no_numbers_are_refused() -> None:
    whole = {"a": torch.ones(3), "steps": torch.tensor(3), "mask": torch.tensor([True])}
    large = torch.full((2,), torch.finfo(torch.float16).max).half()  # whose sum is infinite
    refuse_non_finite({**whole, "large": large}, "m.pt")
    odd = {**whole, "b": torch.tensor([1.0, float("nan")]), "c": torch.tensor(-torch.inf).half()}
    with raises("weights-not-finite"):
        refuse_non_finite(odd, "m.pt")
    with raises("weights-not-finite"):
        refuse_non_finite({"both": torch.tensor([torch.inf, -torch.inf])}, "m.pt")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_is_named_as_such(share: float, file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with raises("file-damaged"):
        load_torch_file(file)


def test_a_pointer_of_git_lfs_is_named_as_such(file: Path) -> None:
    """A clone without LFS has them; torch's error is that they may run code."""
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    with raises("file-damaged") as error:
        load_torch_file(file)
    assert str(error.value).endswith("in place of the file; fetch it with `git lfs pull`")


def test_advice_to_load_what_may_run_code_is_left_out(file: Path) -> None:
    file.write_bytes(b"P")
    with pytest.raises(pickle.UnpicklingError) as error:
        load_torch_file(file)
    assert "weights_only" in str(error.value)
    assert reason(error.value) == "Unsupported operand 80"
