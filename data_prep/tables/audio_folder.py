"""Find the folder that the audio paths of a table start from.

Tried in this order: absolute paths; the folder of the table; the current one; then the only folder
below that of the table in which every file is. Names without a folder may also be spread over
folders, if each is there once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.files.listing import AUDIO_SUFFIXES, walk
from data_prep.manifest.cells import shown
from data_prep.messages import first_few

_MOST_FOLDERS = 5_000  # that are searched below a table
_NOT_SEARCHED = ("node_modules", "site-packages", "__pycache__")


@dataclass(frozen=True)
class FoundAudio:
    """Where the audio of a table is.

    Attributes:
        root: the folder; None if it is not known.
        paths: path in the table -> from `root`, of those that differ.
        problem: why it is not known, or how many files are not there; may be empty.
        absent: names of files that are not in `root`.
    """

    root: Path | None
    paths: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    absent: Sequence[str] = ()


def find_audio(names: Sequence[str], table: Path, given: Path | None = None) -> FoundAudio:
    """Return where the audio files are that a table names."""
    paths = _with_slashes(names)
    written = {name: paths.get(name, name) for name in names}
    if given is not None:
        direct = _in(given, written, paths)
        if len(direct.absent) < len(names):
            return direct
        spread = _spread(written, given, [given, *_folders(given)])
        return direct if spread.root is None else spread
    if any(Path(path).is_absolute() for path in written.values()):
        return _absolute(written, paths)
    base = table if table.is_dir() else table.parent
    near = [_in(folder, written, paths) for folder in dict.fromkeys((base, Path()))]
    whole = next((candidate for candidate in near if not candidate.absent), None)
    if whole is not None:
        return whole
    folders = [base, *_folders(base)]
    complete = [f for f in folders if all((f / path).is_file() for path in written.values())]
    if len(complete) == 1:
        return FoundAudio(complete[0], paths)
    if complete:
        names_ = first_few([str(folder) for folder in complete])
        return FoundAudio(None, problem=f"the audio files are in {len(complete)} folders: {names_}")
    spread = _spread(written, base, folders)
    if spread.root is not None:
        return spread
    best = min(
        (*near, *(_in(folder, written, paths) for folder in folders[1:])),
        key=lambda candidate: len(candidate.absent),
    )
    if len(best.absent) < len(names):
        return best
    example = shown(next(iter(written.values())))
    problem = spread.problem or f"none of its {len(names)} audio files, such as {example}, is below"
    return FoundAudio(
        None, problem=f"{problem} {base.absolute()}" if not spread.problem else problem
    )


def _with_slashes(names: Sequence[str]) -> dict[str, str]:
    """Return the paths that Windows wrote, with slashes."""
    return {n: n.replace("\\", "/") for n in names if "\\" in n and "/" not in n}


def _in(root: Path, written: Mapping[str, str], paths: Mapping[str, str]) -> FoundAudio:
    absent = [path for path in written.values() if not (root / path).is_file()]
    problem = ""
    if absent:
        folder = root.absolute()
        problem = f"{len(absent)} of {len(written)} audio files are not in {folder}: "
        problem += first_few([shown(path) for path in absent])
    return FoundAudio(root, paths, problem, absent)


def _absolute(written: Mapping[str, str], paths: Mapping[str, str]) -> FoundAudio:
    absolute = [path for path in written.values() if Path(path).is_absolute()]
    if len(absolute) < len(written):
        problem = f"{len(absolute)} of {len(written)} audio paths are absolute, and others are not"
        return FoundAudio(None, problem=problem)
    existing = [path for path in absolute if Path(path).is_file()]
    if not existing:
        problem = f"none of its {len(written)} audio files is there, such as {shown(absolute[0])}"
        return FoundAudio(None, problem=problem)
    root = Path(os.path.commonpath([str(Path(path).parent) for path in absolute]))
    return _in(root, written, paths)


def _folders(base: Path) -> Iterator[Path]:
    """Yield the folders below one, but hidden ones, and at most `_MOST_FOLDERS`."""
    for n_folders, (folder, names, _) in enumerate(walk(base)):
        if n_folders > _MOST_FOLDERS:
            return
        names[:] = [n for n in names if not n.startswith(".") and n not in _NOT_SEARCHED]
        if n_folders:  # the first is `base`
            yield folder


def _spread(written: Mapping[str, str], base: Path, folders: Sequence[Path]) -> FoundAudio:
    """Find bare names in several folders, each once; a suffix may be missing in the table."""
    if any("/" in path for path in written.values()):
        return FoundAudio(None)
    wanted = set(written.values())
    places: dict[str, list[Path]] = {}
    for folder in folders:
        for entry in os.scandir(folder):
            path = Path(entry.path)
            name = path.name if path.name in wanted else path.stem
            if name in wanted and path.suffix.lower() in AUDIO_SUFFIXES and entry.is_file():
                places.setdefault(name, []).append(path)
    if twice := [name for name, paths in places.items() if len(paths) > 1]:
        first = places[twice[0]]
        problem = (
            f"{shown(twice[0])} is in {len(first)} folders: {first_few([str(p) for p in first])}"
        )
        return FoundAudio(None, problem=problem)
    if len(places) < len(wanted):
        return FoundAudio(None)
    root = Path(os.path.commonpath([path.parent for (path,) in places.values()]))
    spread = {name: places[path][0].relative_to(root).as_posix() for name, path in written.items()}
    return FoundAudio(root, {name: path for name, path in spread.items() if path != name})
