"""Files of folders, also through symbolic links."""

from pathlib import Path

from data_prep.files.listing import files_below, visible, walk
from data_prep.tables.reader import open_table


def write(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_files_below_are_found_through_links_once(tmp_path: Path) -> None:
    store, folder = tmp_path / "store", tmp_path / "folder"
    write(store / "b" / "2.wav", folder / "a" / "1.wav", folder / "3.wav")
    (folder / "a" / "link").symlink_to(store)
    (folder / "file.wav").symlink_to(store / "b" / "2.wav")
    (folder / "z").symlink_to(store / "b")  # a second way to it
    (store / "b" / "circle").symlink_to(folder)
    names = [path.relative_to(folder).as_posix() for path in files_below(folder)]
    assert names == ["3.wav", "a/1.wav", "a/link/b/2.wav", "file.wav"]


def test_a_folder_behind_a_link_has_its_own_name_where_it_is_below_too(tmp_path: Path) -> None:
    write(tmp_path / "sad" / "1.wav")
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "link").symlink_to(tmp_path / "sad")
    assert files_below(tmp_path) == [tmp_path / "sad" / "1.wav"]


def test_a_link_to_a_hidden_folder_is_not_hidden(tmp_path: Path) -> None:
    write(tmp_path / "a" / ".store" / "data" / "1.wav")
    (tmp_path / "b").symlink_to(tmp_path / "a" / ".store")
    assert visible(files_below(tmp_path), tmp_path) == [tmp_path / "b" / "data" / "1.wav"]


def test_removed_names_are_not_walked(tmp_path: Path) -> None:
    write(tmp_path / "a" / "1.wav", tmp_path / ".b" / "2.wav")
    visited = []
    for folder, names, _ in walk(tmp_path):
        names[:] = [name for name in names if not name.startswith(".")]
        visited.append(folder.name)
    assert visited == [tmp_path.name, "a"]


def test_recordings_of_a_class_are_found_through_links(tmp_path: Path) -> None:
    write(tmp_path / "disk" / "anna" / "1.wav", tmp_path / "data" / "sad" / "2.wav")
    (tmp_path / "data" / "glad").mkdir()
    (tmp_path / "data" / "glad" / "anna").symlink_to(tmp_path / "disk" / "anna")
    (tmp_path / "data" / "sad" / "3.wav").symlink_to(tmp_path / "gone.wav")
    rows = [dict(row.cells) for row in open_table(tmp_path / "data").rows()]
    assert rows == [
        {"file": "glad/anna/1.wav", "label": "glad"},
        {"file": "sad/2.wav", "label": "sad"},
        {"file": "sad/3.wav", "label": "sad"},  # which is reported when the audio is read
    ]
