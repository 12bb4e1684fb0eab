import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from data_prep.files.replacing import replacing
from data_prep.messages import sentence


@pytest.mark.parametrize("is_locked", [False, True])
def test_a_file_appears_whole_or_not_at_all(is_locked: bool, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    def fail() -> None:
        with replacing(file, is_locked=is_locked) as part:
            part.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert file.read_text() == "old"
    with replacing(file, is_locked=is_locked) as part:
        assert part.parent == file.parent
        part.write_text("new")
        assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert file.read_text() == "new"


def test_what_a_killed_run_left_is_written_over_under_a_lock(tmp_path: Path) -> None:
    names = set()
    for is_locked in (False, True):
        with replacing(tmp_path / "file", is_locked=is_locked) as part:
            part.touch()
            names.add(part.name)
    assert ".file.part" in names
    assert len(names) == 2


def test_what_killed_runs_left_in_the_folder_is_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with replacing(tmp_path.parent / "x") as part:
        part.touch()
        machine = part.name.split(".")[-2].removesuffix(f"-{os.getpid()}")
    of_ended = [tmp_path / f".{name}.{machine}-{ended.pid}.part" for name in ("file", "figure.png")]
    kept = [
        tmp_path / f".file.{machine}-{os.getppid()}.part",
        tmp_path / f".file.0-{ended.pid}.part",  # of another machine, on which it may run
        tmp_path / ".file.part",
        tmp_path / "1.part",
    ]
    for path in (*of_ended, *kept):
        path.touch()
    with replacing(tmp_path / "file") as part:
        part.touch()
    assert not any(path.exists() for path in of_ended)
    assert all(path.exists() for path in kept)


def test_what_cannot_be_removed_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if f"-{ended.pid}." in path.name:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))
        unlink(path, missing_ok)

    with replacing(tmp_path.parent / "x") as part:
        part.touch()
    of_other_user = tmp_path / part.name.replace(f"-{os.getpid()}.", f"-{ended.pid}.")
    of_other_user.touch()
    monkeypatch.setattr(Path, "unlink", refuse)
    with replacing(tmp_path / "file") as part:
        part.write_text("new")
    assert (tmp_path / "file").read_text() == "new"
    assert of_other_user.exists()


def fill_disk(part: Path) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fill_disk_of_numpy(part: Path) -> None:
    part.touch()
    raise OSError("131072 requested and 65536 written")


def write_nothing(part: Path) -> None:
    (part.parent / "missing" / part.name).touch()


@pytest.mark.parametrize("fail", [fill_disk, fill_disk_of_numpy])
def test_an_error_of_writing_names_the_file(fail: Callable[[Path], None], tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as raised, replacing(tmp_path / "a") as part:
        fail(part)
    assert sentence(raised.value) == (
        f"{tmp_path / 'a'}: no space left on device; free some space, and run the same command "
        "again"
    )
    assert not list(tmp_path.iterdir())


def test_an_error_about_another_file_is_kept(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised, replacing(tmp_path / "a") as part:
        write_nothing(part)
    assert "missing" in str(raised.value)
