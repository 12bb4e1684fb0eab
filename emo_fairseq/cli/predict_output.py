"""Where ``predict`` writes: onto nothing that it reads, and whole or not at all."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from emo_fairseq.cli.checkpoints import is_model_folder
from emo_fairseq.cli.predict_items import STDIN
from emo_fairseq.errors import UsageError, check_writable

_PART = ".part"


def check_output(file: Path, items: Sequence[str], model: Path) -> None:
    """Refuse to write over what is asked about, or into the model.

    Args:
        file: of ``--output``.
        items: of the command line.
        model: model folder, checkpoint, or folder of a training.

    Raises:
        UsageError: it is one of them, or cannot be written.
    """
    check_writable(file, "--output")
    if any(item != STDIN and _is_same(file, Path(item)) for item in items):
        raise UsageError(f"--output {file}: is an item to be read; name another file")
    is_inside = is_model_folder(model) and model.resolve() in file.resolve().parents
    if is_inside or _is_same(file, model) or (file.suffix == ".pt" and file.exists()):
        raise UsageError(f"--output {file}: is part of a model; name a file in another place")


def _is_same(file: Path, other: Path) -> bool:
    try:
        return file.resolve() == other.resolve() or file.samefile(other)
    except OSError:  # one is not there, or no path at all
        return False


@contextlib.contextmanager
def opened_output(file: Path | None) -> Iterator[TextIO]:
    """The file to write rows to, or standard output.

    Rows go to ``FILE.part``, which takes the place of the file at the end; what is cut short leaves
    it there. A pipe or a device is written to directly.
    """
    if file is None:
        yield sys.stdout
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
    """Keep the rows that were written before an error, and name their file."""
    if part.exists() and not part.stat().st_size:
        part.unlink()
    elif part.exists():
        sys.stderr.write(f"{part}: holds the rows until then\n")
