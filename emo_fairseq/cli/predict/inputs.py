"""What a command line of ``predict`` names: audio files, folders, tables, and lines of input."""

import io
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from data_prep.files.listing import AUDIO_SUFFIXES, files_below, visible
from data_prep.files.remote import as_path, require_local
from data_prep.tables.reader import TABLES
from emo_fairseq.cli.predict.columns import TableOptions
from emo_fairseq.cli.predict.items import Item, ListSource, Reads, Source, checked_item
from emo_fairseq.cli.predict.tables import TableSource
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import TEXT

STDIN = "-"
FILES, TEXTS = "files", "texts"  # what lines of standard input may be
_LISTS = (*TABLES, ".txt")
UTF8 = "utf-8-sig"
_CHARACTERS = 1 << 16  # read at a time


@dataclass(frozen=True)
class InputOptions:
    """How the inputs of a command line are read.

    Attributes:
        text: of ``--text``: alone, or of the one audio file.
        tables: options of tables.
        encoding: of ``.txt`` files.
        lines: what lines of standard input are, `FILES` or `TEXTS`; None: by the model.
        ends_with_nul: whether paths on standard input end with NUL instead of a line break.
    """

    text: str | None = None
    tables: TableOptions = TableOptions()  # noqa: RUF009 - it is frozen
    encoding: str = UTF8
    lines: str | None = None
    ends_with_nul: bool = False


def open_sources(paths: Sequence[str], options: InputOptions, stdin: TextIO | None) -> list[Source]:
    """Open all that a command line names.

    Args:
        paths: audio files; folders of them; ``.txt``, a text a line; tables, which
            :mod:`data_prep.tables.reader` reads; ``-``.
        options: how they are read.
        stdin: texts, or paths of audio files; None where it is closed.

    Raises:
        UsageError: no items; a path that does not exist; a table without the columns.
    """
    if options.text is not None:
        if len(paths) > 1 or any(not is_audio(name) for name in paths):
            raise UsageError(
                "--text goes alone, or with one audio file; give a table for more",
                "text-with-items",
            )
        audio = as_path(paths[0]) if paths else None
        return [ListSource([checked_item(paths[0] if paths else "--text", audio, options.text)])]
    if not paths:
        raise UsageError(
            "--text, or ITEMs: there is nothing to predict; give files, a folder, -, or --text",
            "items-missing",
        )
    if paths.count(STDIN) > 1:
        raise UsageError("- is given twice; standard input is read once", "stdin-repeated")
    return [_open(name, options, stdin) for name in paths]


def is_audio(name: str) -> bool:
    """Return whether an item of a command line is an audio file: no table, folder or lines."""
    path = as_path(name)
    return name != STDIN and path.suffix.lower() not in _LISTS and not is_folder(path)


def is_folder(path: Path) -> bool:
    """Return False also for a path that the system refuses: opening it raises the reason."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _open(name: str, options: InputOptions, stdin: TextIO | None) -> Source:
    path, suffix = as_path(name), Path(name).suffix.lower()
    if name == STDIN:
        if stdin is None:
            raise UsageError("-: standard input is closed; give files", "stdin-closed")
        return StandardInput(stdin, options.lines, options.ends_with_nul)
    if is_folder(path):
        return ListSource([Item(str(file), audio=file) for file in find_audio(path)])
    if suffix in TABLES or suffix == ".txt":
        require_local(path, "ITEM", "fetch it; the recordings that it names may be at a URL")
    if suffix in TABLES:
        return TableSource(path, options.tables)
    if suffix == ".txt":
        return TextFile(path, options.encoding)
    return ListSource([Item(name, audio=path)])


# -- lines of text ---------------------------------------------------------------------------------


class TextFile:
    """A file with a text a line; bytes of no valid text become lone surrogates, which no text has.

    Raises:
        UsageError: there is no such file, or no such encoding.
    """

    columns: Sequence[str] = ()

    def __init__(self, path: Path, encoding: str = UTF8) -> None:
        if not path.is_file():
            raise UsageError(f"{path}: there is no such file", "file-missing")
        try:
            "".encode(encoding)
        except LookupError:
            raise UsageError(
                f"--encoding {encoding}: there is no such encoding; give one such as utf-8 or "
                "cp1252",
                "encoding-unknown",
            ) from None
        self._path = path
        self._encoding = encoding

    def is_typed(self, reads: Reads) -> bool:
        return False

    def items(self, reads: Reads) -> Iterator[Item]:
        """Yield an item for each line.

        Raises:
            UsageError: bytes that the encoding lacks, where these cannot be skipped.
        """
        try:
            with self._path.open(
                encoding=self._encoding, errors="surrogateescape", newline=""
            ) as lines:
                yield from _items_of_lines(f"{self._path}: line", lines)
        except UnicodeError as error:
            raise UsageError(
                f"{self._path}: is not {self._encoding} ({error}); give its --encoding",
                "encoding-invalid",
            ) from None


def _items_of_lines(name: str, lines: TextIO) -> Iterator[Item]:
    for number, line in enumerate(lines, start=1):
        yield checked_item(f"{name} {number}", None, line.rstrip("\r\n"))


# -- standard input: texts, or paths ---------------------------------------------------------------


@dataclass(frozen=True)
class StandardInput:
    """Lines of standard input, each a text or the path of an audio file.

    They are texts where the model reads text, and else paths. A first line that is the path of a
    file, where a text is expected, is refused: nobody means it as a text.

    Args:
        stdin: read as UTF-8, whatever the locale.
        lines: `FILES` or `TEXTS`; None: by the model.
        ends_with_nul: paths end with NUL, as ``find -print0`` writes them.
    """

    stdin: TextIO
    lines: str | None = None
    ends_with_nul: bool = False
    columns: Sequence[str] = field(default=(), init=False)

    def is_typed(self, reads: Reads) -> bool:
        return self._kind(reads) == TEXTS or self.stdin.isatty()

    def _kind(self, reads: Reads) -> str:
        if self.ends_with_nul:
            return FILES
        return self.lines or (TEXTS if TEXT in reads.modalities else FILES)

    def items(self, reads: Reads) -> Iterator[Item]:
        """Yield an item for each line that is not empty.

        Raises:
            UsageError: the first line is a file, and would be read as a text.
        """
        if self._kind(reads) == FILES:
            end, newline = ("\0", "") if self.ends_with_nul else ("\n", "\n")
            yield from map(_item_of_path, _records(_as_utf8(self.stdin, newline), end))
            return
        for number, item in enumerate(_items_of_lines("line", _as_utf8(self.stdin))):
            if number == 0 and self.lines is None:
                _refuse_path(item.text or "")
            yield item


def _refuse_path(text: str) -> None:
    """Raise a `UsageError` if a text is the path of a file."""
    try:
        is_path = Path(text).suffix.lower() in AUDIO_SUFFIXES and Path(text).is_file()
    except (OSError, ValueError):
        is_path = False
    if is_path:
        raise UsageError(
            f"--lines: standard input begins with {text!r}, which is a file, and would be read as "
            "a text; give --lines files, or --lines texts",
            "stdin-ambiguous",
        )


def _as_utf8(stdin: TextIO, newline: str | None = None) -> TextIO:
    """Return standard input as UTF-8, whatever the locale; see :class:`TextFile`."""
    if isinstance(stdin, io.TextIOWrapper):
        stdin.reconfigure(encoding=UTF8, errors="surrogateescape", newline=newline)
    return stdin


def _records(stream: TextIO, end: str) -> Iterator[str]:
    """Yield what is between two ends, without what is empty."""
    if end == "\n":
        yield from (path for line in stream if (path := line.rstrip("\r\n")))
        return
    rest = ""
    while block := stream.read(_CHARACTERS):
        *records, rest = (rest + block).split(end)
        yield from filter(None, records)
    if rest.strip("\r\n"):
        yield rest


def _item_of_path(name: str) -> Item:
    path = as_path(name)
    problem = "a folder" if is_folder(path) else "a list or a table"
    if is_audio(name):
        return checked_item(name, path, None)
    error = UsageError(f"is {problem}, and no audio file; give it as an argument", "path-no-audio")
    return Item(name, error=error)


# -- folders ---------------------------------------------------------------------------------------


def find_audio(folder: Path) -> list[Path]:
    """Return the audio files of a folder and of all below it, in order.

    A file is one by its suffix, or else by its content. What is skipped, hidden files among it, is
    counted on standard error.

    Raises:
        UsageError: there are none.
    """
    from data_prep.audio.opening import is_audio

    everything = files_below(folder)
    files = visible(everything, folder)
    audio_files = [
        path for path in files if path.suffix.lower() in AUDIO_SUFFIXES or is_audio(path)
    ]
    skipped = Counter(path.suffix.lower() for path in set(files) - set(audio_files))
    others = {
        f"of {suffix}" if suffix else "of no suffix": n for suffix, n in sorted(skipped.items())
    }
    if n_hidden := len(everything) - len(files):
        others["hidden"] = n_hidden
    counted = ", ".join(f"{n} {kind}" for kind, n in others.items())
    if not audio_files:
        beside = f"; there are {counted}, none of which can be decoded as audio" if counted else ""
        raise UsageError(f"{folder}: no audio files in it{beside}", "audio-missing")
    if counted:
        sys.stderr.write(f"{folder}: files skipped: {sum(others.values())} ({counted})\n")
    return audio_files
