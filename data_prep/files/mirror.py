"""Data dirs at a URL: a folder of this machine with the files that a command reads and writes.

The folder is in the user's cache, and stays there: a file is fetched again only if its version at
the URL is another. What the command has written, replaced or removed is then written, replaced or
removed at the URL, each file whole, and cards, which hold the digests of the others, last. Hidden
files, such as finished shards, are of this machine, so that a command that was killed continues
here.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from data_prep.errors import CodedError, Fault, ManifestError
from data_prep.files.digests import user_memory
from data_prep.files.documents import Document, load_json
from data_prep.files.lock import locked
from data_prep.files.remote import RemoteFile, RemotePath, as_path
from data_prep.files.replacing import replacing

logger = logging.getLogger(__name__)

STATE_FILE = ".mirror.json"
MANIFESTS = ("*.tsv", "corpus.yaml")  # what every command reads
_CARD = ".yaml"


class _Entry(Document):
    """Schema of a file that is the same here and at the URL.

    Attributes:
        version: at the URL.
        stamp: size, time of change in ns and inode of the file here.
    """

    version: str
    stamp: list[int]


class _State(Document):
    """Schema of `.mirror.json`: the URL, and files by their path in it."""

    url: str
    files: dict[str, _Entry]


def origin_of(data_dir: str | Path) -> Path:
    """Return the URL of a folder that mirrors one; of another folder itself."""
    folder = Path(data_dir)
    return as_path(_load(folder / STATE_FILE).url) if is_mirror(folder) else folder


def is_mirror(data_dir: str | Path) -> bool:
    """Return whether a folder mirrors one at a URL."""
    return (Path(data_dir) / STATE_FILE).is_file()


def with_origin(text: str, data_dir: str | Path) -> str:
    """Return a text with the URL of a mirror in place of its path."""
    return text.replace(str(data_dir), str(origin_of(data_dir)))


@contextmanager
def mirrored(
    data_dir: str | Path, *, reads: Sequence[str] = (), writes: Sequence[str] = ()
) -> Iterator[Path]:
    """Yield the folder of a data dir: itself, or a mirror of one at a URL.

    A mirror has the manifests, corpus.yaml and what is in some folders. What the block changes in
    the folders that it writes is changed at the URL when it ends, also by an error in the data, of
    which a part may be finished; after another interruption, by the next one that succeeds.

    Args:
        data_dir: of this machine, or at a URL.
        reads: further folders in it that are read, such as `features`.
        writes: folders in it that are written.

    Raises:
        CodedError: a file at the URL was changed meanwhile; or one of the block, which names the
            URL.
        OSError: the URL cannot be read or written.
    """
    url = as_path(data_dir)
    if not isinstance(url, RemotePath):
        yield url
        return
    key = hashlib.sha256(str(url).encode()).hexdigest()[:16]
    folder = user_memory().parent / "data_dirs" / key / (url.name or "data")
    with locked(folder.parent / ".lock"):
        mirror = _Mirror(url, folder)
        try:
            mirror.fetch(MANIFESTS, reads, writes)
        except FileNotFoundError as error:
            problem, remedy = "not a folder", "name the folder that a data_prep script wrote"
            fault = Fault(str(url), None, problem, remedy, "corpus-card-invalid")
            raise ManifestError(fault) from error
        try:
            yield folder
        except CodedError as error:
            mirror.upload(writes)
            raise _at_origin(error, folder) from error
        mirror.upload(writes)


@dataclass(frozen=True)
class _Mirror:
    url: RemotePath
    folder: Path

    def fetch(self, patterns: Sequence[str], reads: Sequence[str], writes: Sequence[str]) -> None:
        """Make the folder as the URL is, but for results of a command that did not upload them."""
        logger.info("%s: mirrored in %s", self.url, self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._fetch_all(self._files_named(patterns), self._local_named(patterns))
        for part in reads:
            self._fetch_all(self._files_in(part), self._local_in(part))
        for part in writes:
            files, local = self._files_in(part), self._local_in(part)
            kept = self._results(files, local)
            others = {name: file for name, file in files.items() if name not in kept}
            self._fetch_all(others, local - kept)

    def _results(self, files: Mapping[str, RemoteFile], local: Collection[str]) -> set[str]:
        """Return what an earlier command has written, and not uploaded, over the files there."""
        entries = self._entries()
        results = set()
        for name in local:
            entry, file = entries.get(name), files.get(name)
            if self._is_same(name, entry):
                continue
            if file is None:
                entries.pop(name, None)
                results.add(name)
            elif entry is not None and entry.version == file.version:
                results.add(name)
        self._save(entries)
        return results

    def _fetch_all(self, files: Mapping[str, RemoteFile], local: Collection[str]) -> None:
        """Fetch the files that are not here in this version; remove other local ones."""
        entries = self._entries()
        for name in local:
            if name not in files:
                (self.folder / name).unlink()
                entries.pop(name, None)
        for name, file in files.items():
            entry = entries.get(name)
            if entry is None or entry.version != file.version or not self._is_same(name, entry):
                entries[name] = self._fetch(name, file)
                self._save(entries)
        self._save(entries)

    def upload(self, parts: Sequence[str]) -> None:
        """Write and remove at the URL what has changed here, cards last."""
        entries = self._entries()
        local = {name for part in parts for name in self._local_in(part)}
        changed = [name for name in local if not self._is_same(name, entries.get(name))]
        for name in sorted(changed, key=lambda name: (name.endswith(_CARD), name)):
            self._check_version(name, entries)
            stamp = self._stamp(name)
            (self.url / name).upload(self.folder / name)
            file = (self.url / name).described()
            if file is None:
                raise OSError(None, "it is not there after it was written", str(self.url / name))
            entries[name] = _Entry(version=file.version, stamp=stamp)
            self._save(entries)
        for name in [name for name in entries if _is_in(name, parts) and name not in local]:
            self._check_version(name, entries)
            (self.url / name).unlink()
            del entries[name]
            self._save(entries)

    def _check_version(self, name: str, entries: Mapping[str, _Entry]) -> None:
        file = (self.url / name).described()
        known = entries[name].version if name in entries else None
        if (None if file is None else file.version) != known:
            raise CodedError(
                f"{self.url / name}: was changed while this command ran; run it again",
                "file-changed",
            )

    def _fetch(self, name: str, file: RemoteFile) -> _Entry:
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target, is_locked=True) as part:
            file.path.download(part)
            if part.stat().st_size != file.size:
                raise OSError(None, f"{file.size} bytes were not read whole", str(file.path))
        return _Entry(version=file.version, stamp=self._stamp(name))

    def _stamp(self, name: str) -> list[int]:
        status = (self.folder / name).stat()
        return [status.st_size, status.st_mtime_ns, status.st_ino]

    def _is_same(self, name: str, entry: _Entry | None) -> bool:
        """Return whether a file here is still what was fetched or uploaded."""
        if entry is None or not (self.folder / name).is_file():
            return False
        return self._stamp(name) == entry.stamp

    # -- Files by their path in the data dir; hidden ones are of this machine alone

    def _files_named(self, patterns: Sequence[str]) -> dict[str, RemoteFile]:
        files = self.url.files(recursive=False)
        return {n: file for n, file in files.items() if any(fnmatch(n, p) for p in patterns)}

    def _local_named(self, patterns: Sequence[str]) -> set[str]:
        return {path.name for pattern in patterns for path in self.folder.glob(pattern)}

    def _files_in(self, part: str) -> dict[str, RemoteFile]:
        files = (self.url / part).files(recursive=True)
        return {f"{part}/{name}": file for name, file in files.items() if not _is_hidden(name)}

    def _local_in(self, part: str) -> set[str]:
        paths = (path for path in (self.folder / part).rglob("*") if path.is_file())
        names = (path.relative_to(self.folder / part).as_posix() for path in paths)
        return {f"{part}/{name}" for name in names if not _is_hidden(name)}

    # -- The state

    def _entries(self) -> dict[str, _Entry]:
        file = self.folder / STATE_FILE
        return dict(_load(file).files) if file.is_file() else {}

    def _save(self, entries: Mapping[str, _Entry]) -> None:
        state = _State(url=str(self.url), files=dict(entries))
        with replacing(self.folder / STATE_FILE, is_locked=True) as part:
            part.write_text(state.model_dump_json(), encoding="utf-8")


def _load(file: Path) -> _State:
    return load_json(file, _State, remedy=f"delete {file.parent}, and run the command again")


def _is_hidden(name: str) -> bool:
    """Return whether a file is hidden, or in a hidden folder.

    >>> _is_hidden(".train.partial/1.npz"), _is_hidden("train.npy")
    (True, False)
    """
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


def _is_in(name: str, parts: Iterable[str]) -> bool:
    return any(name.startswith(f"{part}/") for part in parts)


def _at_origin(error: CodedError, folder: Path) -> CodedError:
    """Return an error that names the URL of a mirror in place of its path."""

    def shown(value: object) -> Any:
        if isinstance(value, str):
            return with_origin(value, folder)
        if isinstance(value, Fault):
            texts = {name: shown(getattr(value, name)) for name in ("file", "what", "remedy")}
            return replace(value, **texts)
        return value

    content: Any = error.__reduce__()[1]  # as it is pickled, with its code
    return type(error)(*map(shown, content))
