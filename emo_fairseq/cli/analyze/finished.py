"""The recordings that an interrupted run of ``analyze`` has finished, which are not repeated."""

import argparse
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from data_prep.errors import ManifestError
from data_prep.files.digests import FileRecord, is_whole, records_of, stamp
from data_prep.files.documents import FileName, load_json
from data_prep.files.replacing import replacing
from data_prep.manifest.digests import sequence_digest
from emo_fairseq.cli.analyze.recordings import Recording
from emo_fairseq.cli.models import model_digests

_FILE = ".analysis.json"
# Options that decide where files are written and by whom, but not what is in them.
_PLACES = ("items", "model", "output_dir", "overwrite", "run", "segments", "words")


class FinishedRecordings:
    """The file that lists them, in the folder of the output, until all are finished.

    One whose files were being written, or whose turns have errors, is listed without its files: it
    is analyzed again, and its files are replaced.

    Args:
        options: of the command line, without the engine.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._folder: Path = options.output_dir
        self._options = options
        self._known: dict[str, Mapping[str, Mapping[str, object]]] = {}
        if (self._folder / _FILE).is_file():
            schema = dict[str, dict[FileName, FileRecord]]
            try:
                known = load_json(self._folder / _FILE, schema, remedy="delete it")
            except ManifestError:  # of a power failure
                known = {}
            self._known = {
                key: {name: record.model_dump() for name, record in files.items()}
                for key, files in known.items()
            }

    def has(
        self, recording: Recording, turn_file: Path | None, targets: Mapping[str, Path]
    ) -> bool:
        """Return whether all files of a recording are whole, and of the same input and options."""
        if not self._known:
            return False
        records = self._known.get(self._key(recording, turn_file))
        names = {target.name for target in targets.values()}
        return records is not None and names == {*records} and is_whole(self._folder, records)

    def has_begun(self, recording: Recording, turn_file: Path | None) -> bool:
        """Return whether the files of a recording that are there are of the interrupted run."""
        return bool(self._known) and self._known.get(self._key(recording, turn_file)) == {}

    def begin(self, recording: Recording, turn_file: Path | None) -> None:
        """Record that the files of a recording are about to be written."""
        self._known[self._key(recording, turn_file)] = {}
        self._write()

    def add(
        self, recording: Recording, turn_file: Path | None, targets: Mapping[str, Path]
    ) -> None:
        """Record a finished recording, if all that is written of it are files."""
        if not all(target.is_file() for target in targets.values()):
            return
        names = [target.name for target in targets.values()]
        self._known[self._key(recording, turn_file)] = records_of(self._folder, names)
        self._write()

    def _write(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with replacing(self._folder / _FILE) as part:
            part.write_text(json.dumps(self._known), encoding="utf-8")

    def remove(self) -> None:
        """Remove the list, when all recordings are finished."""
        (self._folder / _FILE).unlink(missing_ok=True)

    @cached_property
    def _settings(self) -> list[tuple[str, str]]:
        given = sorted(vars(self._options).items())
        options = [(name, repr(value)) for name, value in given if name not in _PLACES]
        return [*options, *model_digests(self._options)]

    def _key(self, recording: Recording, turn_file: Path | None) -> str:
        stamps: list[list[int] | None] = []
        for path in (recording.path, turn_file):
            try:
                stamps.append(None if path is None else stamp(path))
            except ValueError:
                stamps.append(None)
        of = [("recording", str(recording.path)), ("turns", str(turn_file)), ("of", repr(stamps))]
        return sequence_digest([*self._settings, *of])
