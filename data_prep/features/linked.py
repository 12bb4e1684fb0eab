"""Folders of features with a file for each row, to which a new data dir links.

    folder/{id}.npy    (T, C) or (C,), of the row with that id, or whose id is that and a suffix

The links are ``DATA_DIR/features/NAME/{id}.npy``, a layout of :mod:`data_prep.features.layouts`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath

from data_prep.errors import CodedError
from data_prep.features.layouts import has_frames
from data_prep.features.stored import features_folder
from data_prep.files.documents import bare_name
from data_prep.messages import first_few

_SUFFIX = ".npy"

Files = Mapping[str, Path]  # by id


def find_features(folders: Mapping[str, Path], ids: Iterable[str]) -> dict[str, Files]:
    """Return the file of each row that has one with frames, by the name of the features.

    Raises:
        CodedError: a name that is none of a folder, no such folder, files of no row, or a file of
            several rows.
    """
    ids = list(ids)
    return {name: _find(name, folder, ids) for name, folder in folders.items()}


def _find(name: str, folder: Path, ids: list[str]) -> Files:
    option = f"--feature-files {name}={folder}"
    try:
        bare_name(name)
    except ValueError as error:
        raise CodedError(f"{option}: {error}", "features-name") from None
    if not folder.is_dir():
        raise CodedError(f"{option}: there is no such folder", "features-missing")
    files = {id_: file for id_ in ids if (file := _file_of(folder, id_)) is not None}
    _refuse_shared(option, files)
    files = {id_: file for id_, file in files.items() if has_frames(file)}
    if not files:
        found = first_few(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise CodedError(
            f"{option}: no row has a file ID{_SUFFIX} with frames in it: the first id is "
            f"{ids[0]!r}, and the folder holds {found}; name the column of the ids by --column "
            "id=COLUMN",
            "features-mismatch",
        )
    return files


def _refuse_shared(option: str, files: Files) -> None:
    """Refuse a file of several rows, whose ids differ in folders or in what looks like a suffix."""
    first: dict[Path, str] = {}
    for id_, file in files.items():
        if (other := first.setdefault(file, id_)) != id_:
            raise CodedError(
                f"{option}: {file} is the file of {other} and of {id_}; name the files by the "
                f"whole ids, such as {id_}{_SUFFIX}",
                "features-shared",
            )


def _file_of(folder: Path, id_: str) -> Path | None:
    """Return the file of a row, by its id, or by that without suffix, folders, or both."""
    path = PurePosixPath(id_)
    if path.is_absolute() or ".." in path.parts:
        return None
    names = (id_, str(path.with_suffix("")), path.name, path.stem)
    places = (folder / f"{name}{_SUFFIX}" for name in dict.fromkeys(names))
    return next((place for place in places if place.is_file()), None)


def link_features(out_dir: Path, features: Mapping[str, Files], ids: Collection[str]) -> None:
    """Link a data dir to the files of its rows, in place of all links of before."""
    for name, files in features.items():
        for link in features_folder(out_dir, name).rglob(f"*{_SUFFIX}"):
            if link.is_symlink():
                link.unlink()
        for id_, file in files.items():
            if id_ not in ids:
                continue
            link = features_folder(out_dir, name) / f"{id_}{_SUFFIX}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file.resolve())
