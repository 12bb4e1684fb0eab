"""Find how a delimited table is written: its encoding, its delimiter, and whether it has a header.

Nothing is decided silently: `Sniffed.findings` lists what was found, in the words of the options by
which it can be given instead, and two delimiters that fit alike are not chosen between.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from data_prep.errors import CodedError
from data_prep.files.listing import AUDIO_SUFFIXES
from data_prep.manifest.cells import shown
from data_prep.tables.column_names import names_a_field
from data_prep.tables.delimited import DelimitedTable
from data_prep.tables.reader import CSV, DELIMITERS
from data_prep.tables.table import TableFormat

CANDIDATES = (",", ";", "\t", "|")
NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe", ":": "colon", " ": "space"}
_SNIFFED_ROWS = 500
_SAMPLE = 1 << 20  # bytes
_LEAST_CONFIDENT = 0.9  # share of rows that have the width of the header
_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?")
# Encodings that tables are saved in; charset-normalizer would try a hundred.
_ENCODINGS = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "iso8859_15", "mac_roman")
_WESTERN_SIGNS = "‘’“”‚„–—…€«»°§´·¡¿ªº\xa0"
_MOST_BEYOND = 0.3  # share of letters beyond ASCII in a text of western Europe
_ASIAN = ("gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "koi8_r")


@dataclass(frozen=True)
class Sniffed:
    """How a table is written, and how that was found.

    Attributes:
        format: complete, for `open_table`.
        findings: what was found, to be printed.
        rivals: delimiters that fit as well as that of `format`.
    """

    format: TableFormat
    findings: list[str] = field(default_factory=list)
    rivals: Sequence[str] = ()


def sniff(
    path: Path, given: TableFormat, *, encoding: str | None = None, header: bool | None = None
) -> Sniffed:
    """Return how a delimited table is written: as far as that is not `given`, by its content.

    Raises:
        ManifestError: the file cannot be read.
        CodedError: it is no text.
    """
    findings = []
    name, finding = (encoding, "") if encoding else sniff_encoding(path)
    findings += [finding] if finding else []
    how = replace(given, encoding=name or "utf-8-sig")
    rivals: Sequence[str] = ()
    if how.delimiter is None:
        best = _delimiters(path, how)
        how = replace(how, delimiter=best[0])
        rivals = best[1:]
        findings.append(f"delimiter {NAMES.get(best[0], shown(best[0]))}")
    if header is None:
        header = _has_header(_first_rows(path, how))
        findings.append("the first row is the header" if header else "no header")
    return Sniffed(replace(how, header=header), findings, rivals)


# -- Encodings -------------------------------------------------------------------------------------


def sniff_encoding(path: Path) -> tuple[str, str]:
    """Return the encoding of a text, and what to print of it; "" of UTF-8.

    Text that is valid UTF-8, or was and has a damaged byte, is UTF-8: the reader names its row.
    """
    with path.open("rb") as file:
        head = file.read(_SAMPLE)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE)):
        return "utf-8-sig", "encoding UTF-16"  # the reader goes by the mark
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig", "encoding UTF-8 with a byte order mark"
    if wide := _wide_encoding(head):
        return wide, f"encoding {wide}"
    invalid, valid, raw = _count_utf8(path)
    if b"\0" in head and invalid:
        raise CodedError(
            f"{path}: no text, since it holds zero bytes; save the table as CSV", "table-unreadable"
        )
    if not invalid or valid >= invalid:
        return "utf-8-sig", ""
    name = _legacy_encoding(raw)
    words = re.findall(r"\w*[^\W\d_a-zA-Z]\w*", raw.decode(name, errors="replace"))
    examples = ", ".join(dict.fromkeys(words[:20])) or "no letter beyond ASCII"
    return name, f"encoding {name}, since it is no UTF-8; check {shown(examples)}"


def _count_utf8(path: Path) -> tuple[int, int, bytes]:
    """Return the numbers of bytes that are no UTF-8 and of its characters beyond ASCII.

    Also returns the first block, of up to a megabyte, that has one of these bytes.
    """
    invalid, valid, damaged, last = 0, 0, b"", b""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
    with path.open("rb") as file:
        while block := file.read(_SAMPLE):
            last = block
            if block.isascii() and not decoder.getstate()[0]:
                continue
            text = decoder.decode(block)
            bad = sum("\udc80" <= character <= "\udcff" for character in text)
            valid += sum(character > "\x7f" for character in text) - bad
            invalid += bad
            damaged = damaged or (block if bad else b"")
    rest = len(decoder.decode(b"", final=True))  # of a character that is cut off
    return invalid + rest, valid, damaged or (last if rest else b"")


def _wide_encoding(sample: bytes) -> str:
    """Return the UTF-16 without a mark that a text is in: every other byte is 0 in most scripts."""
    half = len(sample) // 2
    if half < 2:
        return ""
    low, high = sample[1::2].count(0), sample[0::2].count(0)
    if low > 0.4 * half and high == 0:
        return "utf-16-le"
    return "utf-16-be" if high > 0.4 * half and low == 0 else ""


def _legacy_encoding(raw: bytes) -> str:
    """Return the encoding of a text that is no UTF-8: Windows-1252 if that makes sense."""
    from charset_normalizer import from_bytes

    sample = raw[:_SAMPLE]
    if _is_western(sample):
        return _ENCODINGS[0]
    for names in (_ENCODINGS, _ASIAN):
        best = from_bytes(sample, cp_isolation=list(names), threshold=0.3).best()
        if best is not None:
            is_usual = _decode(sample, best.encoding) == _decode(sample, _ENCODINGS[0])
            return _ENCODINGS[0] if is_usual else best.encoding
    return _ENCODINGS[0]


def _is_western(sample: bytes) -> bool:
    """Return whether a text is of western Europe: few letters beyond ASCII, and no odd signs.

    In Cyrillic or Greek nearly all letters are beyond ASCII, and Windows-1250 has letters where
    Windows-1252 has signs.
    """
    text = _decode(sample, _ENCODINGS[0])
    beyond = [character for character in text if character > "\x7f"]
    letters = sum(map(str.isalpha, text))
    are_usual = all(character.isalpha() or character in _WESTERN_SIGNS for character in beyond)
    return are_usual and len(beyond) <= _MOST_BEYOND * max(1, letters)


def _decode(sample: bytes, encoding: str) -> str:
    return sample.decode(encoding, errors="replace")


# -- Delimiters and headers ------------------------------------------------------------------------


def _first_rows(path: Path, how: TableFormat) -> list[list[str]]:
    """Return the cells of the first rows, also of those that are too long or too short."""
    table = DelimitedTable(path, how.delimiter or ",", replace(how, header=False))
    rows = []
    for record in table.records():
        if record.fault is None:
            rows.append(record.cells)
        if len(rows) == _SNIFFED_ROWS:
            break
    return rows


def _delimiters(path: Path, how: TableFormat) -> list[str]:
    """Return the delimiter, and those after it that fit as well."""
    scores: dict[str, tuple[float, ...]] = {}
    for candidate in CANDIDATES:
        try:
            rows = _first_rows(path, replace(how, delimiter=candidate))
        except CodedError as error:
            if error.code not in ("quote-invalid", "row-width"):
                raise
            continue
        widths = Counter(map(len, rows))
        width = len(rows[0]) if rows else 0
        if width < 2:
            continue
        share = widths[width] / len(rows)
        if share >= _LEAST_CONFIDENT:
            scores[candidate] = (share == 1, sum(map(names_a_field, rows[0])))
    if not scores:
        return [DELIMITERS.get(path.suffix.lower(), DELIMITERS[CSV])]
    best = max(scores.values())
    fitting = [candidate for candidate, score in scores.items() if score == best]
    own = DELIMITERS.get(path.suffix.lower())
    return sorted(fitting, key=lambda candidate: candidate != own)


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row has names: one that names a field, or no value like the rest."""
    if not rows:
        return True
    first, rest = rows[0], rows[1:]
    if any(map(_is_value, first)):
        return False
    if any(map(names_a_field, first)) or not rest:
        return True
    if any(not cell.strip() for cell in first[1:]) or len(set(first)) != len(first):
        return False
    columns = [Counter(row[n] for row in rest if len(row) > n) for n in range(len(first))]
    # A label of a class, which occurs below too, is no name.
    return not any(column[cell] > 1 for cell, column in zip(first, columns, strict=True))


def _is_value(cell: str) -> bool:
    """Return whether a cell is a number or names an audio file, which no column is called."""
    cell = cell.strip()
    return bool(_NUMBER.fullmatch(cell)) or cell.lower().endswith(AUDIO_SUFFIXES)
