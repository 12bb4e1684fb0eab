from pathlib import Path

import pytest

from data_prep.files.replacing import replacing


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
