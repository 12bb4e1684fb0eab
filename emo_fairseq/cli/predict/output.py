"""The file that ``predict`` writes: over no input, and complete or not at all."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from data_prep.files.remote import RemotePath, as_path
from emo_fairseq.cli.predict.inputs import STDIN
from emo_fairseq.cli.predict.rows import FORMATS
from emo_fairseq.cli.predict.turn_rows import TURN_FORMATS
from emo_fairseq.errors import UsageError, check_writable
from emo_fairseq.inference.model_folder.files import is_ensemble, is_model_folder

_OTHER_FORMATS = (".xlsx", ".xls", ".ods", ".parquet", ".json", ".feather")


def choose_format(kind: str | None, file: Path | None, has_turns: bool) -> str:
    """Return the format that is written: as given, or else by the suffix of the output.

    Raises:
        UsageError: a format that is not written, or that needs turns.
    """
    kind = kind or format_of(file)
    if kind in TURN_FORMATS and not has_turns:
        option = f"--output {file}" if file is not None else f"--format {kind}"
        raise UsageError(
            f"{option}: holds the turns of one recording; give --segments, or another format "
            f"({', '.join(FORMATS)})",
            "format-needs-segments",
        )
    return kind


def format_of(file: Path | None) -> str:
    """Return the format by the suffix of the output; CSV by default.

    Raises:
        UsageError: the suffix of a format that is not written.
    """
    suffix = "" if file is None else file.suffix.lower()
    if suffix in _OTHER_FORMATS:
        raise UsageError(
            f"--output {file}: predictions are written as {', '.join(FORMATS)}; name it .csv, "
            ".tsv or .jsonl",
            "format-unknown",
        )
    name = suffix.removeprefix(".")
    return name if name in FORMATS or name in TURN_FORMATS else "csv"


_PART = ".part"


def check_output(file: Path, items: Sequence[str], model: Path) -> None:
    """Refuse to overwrite an input or the model.

    Raises:
        UsageError: the file is one of them, or cannot be written.
    """
    if isinstance(as_path(file), RemotePath):
        return  # the store refuses what may not be written
    check_writable(file, "--output")
    if any(item != STDIN and _is_same(file, Path(item)) for item in items):
        raise UsageError(
            f"--output {file}: is one of the inputs; name another file", "output-is-input"
        )
    is_folder = is_model_folder(model) or is_ensemble(model)
    is_inside = is_folder and model.resolve() in file.resolve().parents
    if is_inside or _is_same(file, model) or (file.suffix == ".pt" and file.exists()):
        raise UsageError(
            f"--output {file}: is part of a model; name a file elsewhere", "output-in-model"
        )


def _is_same(file: Path, other: Path) -> bool:
    try:
        return file.resolve() == other.resolve() or file.samefile(other)
    except (OSError, ValueError):  # one is not there, or no path at all
        return False


@contextlib.contextmanager
def open_output(file: Path | None) -> Iterator[TextIO]:
    """Open the file to write rows to, or standard output.

    Rows go to ``FILE.part``, which replaces the file at the end, and stays after an error. A
    pipe or a device is written to directly.
    """
    if file is None:
        yield sys.stdout
        return
    remote = as_path(file)
    if isinstance(remote, RemotePath):
        with remote.written() as local, local.open("w", encoding="utf-8", newline="") as rows:
            yield rows
        return
    target = file.resolve()
    if target.exists() and not target.is_file():
        with target.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}{_PART}")
    try:
        with part.open("w", encoding="utf-8", newline="") as rows:
            yield rows
    except BaseException as error:
        _explain_part(part)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            raise OSError(error.errno, error.strerror, str(target)) from error  # of a full disk
        raise
    part.replace(target)


def _explain_part(part: Path) -> None:
    """Log where the rows before an error are."""
    if part.exists() and not part.stat().st_size:
        part.unlink()
    elif part.exists():
        sys.stderr.write(f"{part}: holds the rows before the error\n")
