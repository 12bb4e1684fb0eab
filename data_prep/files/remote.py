"""Files at a URL that fsspec opens, such as `s3://bucket/corpus/a.wav`, as paths.

Credentials and endpoints are those of fsspec's own configuration, and of the store's: files in
`~/.config/fsspec`, `FSSPEC_S3_ENDPOINT_URL`, `AWS_PROFILE`, and so on.
"""

from __future__ import annotations

import io
import os
import re
import tempfile
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PosixPath
from typing import Any

from data_prep.errors import CodedError

# What distinguishes versions of a file, as the file systems name it: digests, or else times.
_DIGESTS = ("ETag", "etag", "md5Hash", "content_md5", "crc32c")
_TIMES = ("LastModified", "mtime", "created", "ino")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:")
_WHOLE = 64 << 20  # bytes up to which a file is read by one request


def as_path(path: str | Path) -> Path:
    """Return a path; one that begins with a scheme, as `s3://`, is a :class:`RemotePath`.

    >>> as_path("s3://bucket/a") / "b.wav", as_path(Path("s3://bucket/a")).name, as_path("a.wav")
    (RemotePath('s3://bucket/a/b.wav'), 'a', PosixPath('a.wav'))
    """
    if isinstance(path, RemotePath):
        return path
    parts = Path(path).parts
    is_remote = len(parts) > 1 and _SCHEME.fullmatch(parts[0]) is not None
    return RemotePath(path) if is_remote else Path(path)


def require_local(
    path: str | Path,
    option: str,
    remedy: str = "copy it here, as by `aws s3 sync URL FOLDER` (recordings may stay at a URL)",
) -> None:
    """Refuse a URL where a file or folder of this machine is needed.

    Raises:
        CodedError: `path` is a URL.
    """
    if isinstance(as_path(path), RemotePath):
        raise CodedError(
            f"{option} {as_path(path)}: is no folder or file of this machine; {remedy}",
            "path-not-local",
        )


@dataclass(frozen=True)
class RemoteFile:
    """A file in a folder at a URL.

    Attributes:
        path: its URL.
        size: in bytes.
        version: identifies its content.
    """

    path: RemotePath
    size: int
    version: str


class RemotePath(PosixPath):
    """A file or a folder at a URL; what is there is read by fsspec.

    It is read, listed, written whole and removed; there is nothing else that it can do.
    """

    def __str__(self) -> str:
        return re.sub(r"^([a-z][a-z0-9+.-]+):/+", r"\1://", super().__str__())

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return RemotePath, (str(self),)

    def __fspath__(self) -> str:
        return str(self)

    @property
    def _opened(self) -> tuple[Any, str]:
        """The file system, and the path in it."""
        try:
            import fsspec  # type: ignore[import-untyped]
        except ImportError as error:
            raise CodedError(
                f"{self}: needs fsspec ({error}); install the extra remote", "package-missing"
            ) from error
        with self._translated():
            file_system, path = fsspec.core.url_to_fs(str(self))
        return file_system, path

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise errors of a library of a store as those of a file system."""
        try:
            yield
        except (OSError, CodedError):
            raise
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise OSError(None, f"{type(error).__name__}: {reason}", str(self)) from error

    def _info(self) -> dict[str, Any]:
        file_system, path = self._opened
        with self._translated():
            info: dict[str, Any] = file_system.info(path)
        return info

    def _kind(self) -> str | None:
        try:
            return str(self._info()["type"])
        except FileNotFoundError:
            return None

    def exists(self, **_: Any) -> bool:
        return self._kind() is not None

    def is_file(self, **_: Any) -> bool:
        return self._kind() == "file"

    def is_dir(self, **_: Any) -> bool:
        return self._kind() == "directory"

    def absolute(self) -> RemotePath:
        return self

    def resolve(self, strict: bool = False) -> RemotePath:
        return self

    def stat(self, **_: Any) -> os.stat_result:
        """Return the size, and in place of times and inode what identifies this version."""
        info = self._info()
        version = zlib.crc32(_version_of(info).encode())
        times = {"st_mtime_ns": version, "st_ctime_ns": 0}  # long ago: it may be remembered
        return os.stat_result((0, version, 0, 1, 0, 0, int(info["size"] or 0), 0, 0, 0), times)

    def open(self, mode: str = "r", **options: Any) -> Any:  # type: ignore[override]
        """Open for reading; a file of at most 64 MiB is read at once."""
        file_system, path = self._opened
        with self._translated():
            if mode == "rb" and int(file_system.info(path)["size"] or 0) <= _WHOLE:
                return io.BytesIO(file_system.cat_file(path))
            if "w" in mode or "a" in mode:
                raise io.UnsupportedOperation(f"{self}: is written whole, by write_bytes")
            return file_system.open(
                path, mode, **{k: options[k] for k in options if k != "buffering"}
            )

    def rglob(self, pattern: str, **_: Any) -> Generator[RemotePath, None, None]:
        """Yield all files below; other patterns than `*` are not known."""
        if pattern != "*":
            raise NotImplementedError(pattern)
        file_system, path = self._opened
        with self._translated():
            names = file_system.find(path)
        for name in names:
            yield RemotePath(file_system.unstrip_protocol(name))

    def files(self, *, recursive: bool) -> dict[str, RemoteFile]:
        """Return the files in this folder, by their path in it.

        Args:
            recursive: whether to list folders in it, too; one that does not exist is empty then.

        Raises:
            CodedError: a name in the store is no path in this folder.
            FileNotFoundError: there is no such folder.
        """
        file_system, path = self._opened
        with self._translated():
            file_system.invalidate_cache()
            if recursive:
                infos = file_system.find(path, detail=True).values()
            else:
                infos = file_system.ls(path, detail=True)
        paths = {}
        for info in infos:
            name = str(info["name"]).removeprefix(f"{path}/")
            if info["type"] != "file" or name == info["name"] or name.endswith("/") or not name:
                continue  # some stores list the folder itself, as an object
            if any(part in ("", ".", "..") for part in name.split("/")):
                raise CodedError(
                    f"{self}: holds an object of the name {name!r}, which is no path of a file; "
                    "rename it",
                    "object-name-invalid",
                )
            paths[name] = RemoteFile(self / name, int(info["size"] or 0), _version_of(info))
        return paths

    def described(self) -> RemoteFile | None:
        """Return the file that is here now, as its folder lists it; None without one."""
        try:
            return RemotePath(self.parent).files(recursive=False).get(self.name)
        except FileNotFoundError:
            return None

    def download(self, file: Path) -> None:
        """Write the content to a file of this machine."""
        file_system, path = self._opened
        with self._translated():
            file_system.get_file(path, str(file))

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file."""
        file_system, path = self._opened
        with self._translated():
            try:
                file_system.rm_file(path)
            except FileNotFoundError:
                if not missing_ok:
                    raise

    def upload(self, file: Path) -> None:
        """Write a file of this machine here, whole or not at all."""
        file_system, path = self._opened
        with self._translated():
            if not file_system.protocol or "s3" not in file_system.protocol:
                file_system.makedirs(path.rpartition("/")[0], exist_ok=True)
            file_system.put_file(str(file), path)

    @contextmanager
    def written(self) -> Iterator[Path]:
        """Yield a file of this machine, which is uploaded if the block succeeds."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / self.name
            yield file
            self.upload(file)


def _version_of(info: Mapping[str, Any]) -> str:
    """Return what identifies the version of a file, from what its file system reports of it.

    >>> _version_of({"size": 3, "ETag": '"9e10"', "LastModified": 17}), _version_of({"size": 3})
    ("3 ETag='9e10'", '3')
    """
    digests = [f"{name}={str(info[name]).strip(chr(34))!r}" for name in _DIGESTS if info.get(name)]
    times = [f"{name}={info[name]}" for name in _TIMES if info.get(name)]
    return " ".join([str(info["size"]), *(digests or times)])
