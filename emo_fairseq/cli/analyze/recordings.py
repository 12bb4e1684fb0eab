"""The recordings of a command line, their names in the output, and the file of turns of each."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.files.listing import visible
from data_prep.files.remote import RemotePath, as_path
from data_prep.messages import first_few
from data_prep.segmentation.formats import FORMATS, format_of, read_segmentation
from emo_fairseq.cli.predict.inputs import STDIN, find_audio, is_audio, is_folder
from emo_fairseq.cli.turn_files import ReadTurns
from emo_fairseq.errors import UsageError


@dataclass(frozen=True)
class Recording:
    """One recording.

    Attributes:
        path: of the file.
        name: that its output begins with.
    """

    path: Path
    name: str


def find_recordings(items: Sequence[str]) -> list[Recording]:
    """Return the audio files, and those of the folders, of a command line.

    Raises:
        UsageError: there are none, or an item is neither.
    """
    paths: list[Path] = []
    for item in items:
        if is_folder(as_path(item)):
            paths += find_audio(as_path(item))
        elif item == STDIN or not is_audio(item):
            raise UsageError(
                f"{item}: is no recording; give audio files, or folders of them; predict reads "
                "tables and texts",
                "recording-expected",
            )
        else:
            paths.append(as_path(item))
    if not paths:
        raise UsageError(
            "RECORDINGs: there is nothing to analyze; give audio files, or folders of them",
            "items-missing",
        )
    distinct = list({path.resolve(): path for path in reversed(paths)}.values())[::-1]
    if n_repeated := len(paths) - len(distinct):
        sys.stderr.write(f"recordings given more than once, and analyzed once: {n_repeated}\n")
    names = output_names(distinct)
    return [Recording(path, name) for path, name in zip(distinct, names, strict=True)]


def output_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each file: its stem, or more of it where stems are the same.

    >>> output_names([Path(path) for path in ("x/a.wav", "x/b.wav", "x/b.mp3", "y/b.wav")])
    ['a', 'b.wav', 'b.mp3', 'b.wav-2']
    """
    stems = Counter(path.stem.casefold() for path in paths)
    used: set[str] = set()
    names = []
    for path in paths:
        base = path.stem if stems[path.stem.casefold()] == 1 else path.name
        name, number = base, 1
        while name.casefold() in used:
            number += 1
            name = f"{base}-{number}"
        used.add(name.casefold())
        names.append(name)
    return names


def match_turn_files(
    recordings: Sequence[Recording],
    given: Sequence[Path],
    read: ReadTurns = read_segmentation,
) -> Mapping[Path, Path]:
    """Return {recording: file of its turns}; a recording may have none.

    Args:
        recordings: of the command line.
        given: files of ``--segments``, or folders of them. A file is of the recording with its
            stem; a single file is of the one recording whatever its name.
        read: reads a file.

    Raises:
        UsageError: a path does not exist, a recording has several files, a file has none, or has
            the name of recordings in several folders and the same turns for two of them.
    """
    if absent := [path for path in given if not path.exists()]:
        raise UsageError(f"--segments {absent[0]}: there is no such file", "file-missing")
    files = [path for path in given if not path.is_dir()]
    if len(recordings) == 1 and len(given) == len(files) == 1:
        return {recordings[0].path: files[0]}
    of_stem: dict[str, list[Path]] = {}
    for path in [*files, *_turn_files(path for path in given if path.is_dir())]:
        of_stem.setdefault(path.stem.casefold(), []).append(path)
    matched = {}
    for recording in recordings:
        candidates = of_stem.get(recording.path.stem.casefold(), [])
        if len(candidates) > 1:
            raise UsageError(
                f"--segments: {recording.path.name} has several files of turns "
                f"({first_few([str(path) for path in candidates])}); give one of them",
                "segments-ambiguous",
            )
        if candidates:
            matched[recording.path] = candidates[0]
    _refuse_shared(matched, read)
    if unused := [path for path in files if path not in matched.values()]:
        raise UsageError(
            f"--segments {unused[0]}: no recording has the name {unused[0].stem}; rename the file "
            "after its recording, or give both alone",
            "segments-unmatched",
        )
    return matched


def _refuse_shared(matched: Mapping[Path, Path], read: ReadTurns) -> None:
    """Refuse a file that has the same turns for recordings of one name in several folders.

    RTTM and tables may name the folders, and have turns of each.
    """
    of_file: dict[Path, list[Path]] = {}
    for recording, path in matched.items():
        of_file.setdefault(path, []).append(recording)
    for path, recordings in of_file.items():
        by_folder = {recording.parent: recording for recording in recordings}
        if len(by_folder) == 1:
            continue
        turns = {tuple(read(path, recording=str(x)).turns) for x in by_folder.values()}
        if len(turns) < len(by_folder):
            names = first_few([str(recording) for recording in recordings])
            raise UsageError(
                f"--segments: {path} has the name of {names}, and does not state "
                "which it is of; give the one that it is of alone",
                "segments-ambiguous",
            )


def turn_files_beside(recordings: Sequence[Recording]) -> list[Path]:
    """Return the files of turns that have the name and the folder of a recording."""
    paths = [x.path for x in recordings if not isinstance(x.path, RemotePath)]
    suffixes = [known.suffix for known in FORMATS.values() if known.holds_turns]
    beside = (path.with_suffix(suffix) for path in paths for suffix in suffixes)
    return [path for path in beside if path.is_file()]


def _turn_files(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield the files directly in folders whose suffix is that of a format of turns."""
    for folder in folders:
        for path in visible(sorted(folder.iterdir()), folder):
            if format_of(path) is not None and path.is_file():
                yield path
