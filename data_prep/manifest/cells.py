"""Valid ids, texts, labels and other values, in tables, manifests, requests and items to predict.

- An id is used in file names (features of a row, extracted audio): at most `MAX_ID_BYTES` of UTF-8,
  without invisible characters, white space other than single spaces inside, or backslashes. It may
  contain "/" between names that are not empty, "." or "..". Ids with the same NFC are equal.
- A text has at most `MAX_TEXT` characters. Line breaks, tabs and other white-space controls become
  single spaces; other control characters, and halves of surrogate pairs, are refused, since they
  indicate a damaged file. C1 controls (U+0080 to U+009F) are Windows-1252 read as Latin-1, which
  `normalize_text` repairs.
- Any other value has no control characters or halves of surrogate pairs.
- A value is missing if it is empty, or consists of white space and zero-width characters. Words are
  never missing by default: "None", "nan" and "NA" are texts and labels like others.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from urllib.parse import quote

MAX_ID_BYTES = 200  # leaves room for prefixes and suffixes below NAME_MAX (255 bytes)
MAX_TEXT = 1_000_000  # characters
MAX_VALUE = 10_000  # characters of a label, speaker, path or the like

SPACE_CONTROLS = "\\t\\n\\x0b\\x0c\\r\\x1c-\\x1f\\x85\\u2028\\u2029"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SPACE_RUN = re.compile(rf" *[{SPACE_CONTROLS}]+[ {SPACE_CONTROLS}]*")
# Controls other than white space and C1, which normalize_text repairs.
_DAMAGE = re.compile(r"[\x00-\x08\x0e-\x1b\x7f\ud800-\udfff]")
# Most ids, checked in one step.
USUAL_ID = r"\w[\w.+:=@#-]*(?:/\w[\w.+:=@#-]*)*"
_USUAL_ID = re.compile(USUAL_ID, re.ASCII)
# Zero-width joiners between characters, as in Persian and Indic spelling and in emoji.
_JOINED = re.compile("(?<=[^\\x00-\\x7f])[\u200c\u200d](?=[^\\x00-\\x7f])")
_C1 = re.compile(r"[\x80-\x84\x86-\x9f]")

Complaint = tuple[str, str]  # problem and remedy


def shown(value: str, limit: int = 60) -> str:
    r"""Format a value for messages: quoted, shortened, with invisible characters escaped.

    >>> shown("hap\u200bpy"), shown("x" * 80, 10)
    ("'hap\\u200bpy'", "'xxxxxxxxxx...'")
    """
    short = value if len(value) <= limit else f"{value[:limit]}..."
    return repr(short) if is_visible(short) else ascii(short)


def is_visible(value: str) -> bool:
    """Return whether a value has no invisible characters; see `is_hidden`."""
    if value.isascii():
        return value.isprintable()
    return not any(is_hidden(c) for c in value)


def is_hidden(character: str) -> bool:
    """Return whether a character is invisible: control, zero width, direction mark, surrogate."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _is_odd_space(character: str) -> bool:
    """Return whether a character is white space that looks like a plain space."""
    return character.isspace() and character != " "


def name_of(character: str) -> str:
    """Format an invisible character for messages.

    >>> name_of("\u200b")
    'U+200B ZERO WIDTH SPACE'
    """
    name = unicodedata.name(character, "")
    if not name:
        kind = unicodedata.category(character)
        name = {"Cc": "control character", "Cs": "half a surrogate pair"}.get(kind, "")
    return f"U+{ord(character):04X} {name}".strip()


def id_key(value: str) -> str:
    """Return the NFC of an id, in which two ids must differ, since file systems compose names."""
    return value if value.isascii() else unicodedata.normalize("NFC", value)


def fold_name(value: str) -> str:
    """Return what names share that differ in case, spaces, composition or a decimal alone.

    >>> fold_name("Ann  B"), fold_name("12.0")
    ('ann b', '12')
    """
    return " ".join(id_key(value).casefold().removesuffix(".0").split())


def is_blank(value: str) -> bool:
    r"""Return whether a value is empty, or only white space and zero-width characters.

    >>> is_blank(" \u200b"), is_blank("\ud800"), is_blank("\x00")
    (True, False, False)
    """
    visible = value.strip()
    if not visible or visible.isascii():
        return not visible
    return all(c.isspace() or unicodedata.category(c) == "Cf" for c in visible)


def find_id_fault(value: str | None) -> Complaint | None:
    """Return the problem of an id and the remedy; None if it is valid."""
    if value and len(value) <= MAX_ID_BYTES and _USUAL_ID.fullmatch(value):
        return None
    if value is None or not value.strip():
        return "no id", "give every row its own id"
    if not value.isascii() or not value.isprintable():
        if hidden := next((c for c in value if is_hidden(c)), None):
            return f"id {shown(value)} holds {name_of(hidden)}", "take it out of the id"
        if any(map(_is_odd_space, value)):
            return f"id {value!a} holds a space of another kind", "write a plain space, or _"
    if value != value.strip():
        return f"id {shown(value)} begins or ends with a space", "take the space off"
    n_bytes = len(value.encode())
    if n_bytes > MAX_ID_BYTES:
        problem = (
            f"id {shown(value, 20)} has {n_bytes} bytes, more than the {MAX_ID_BYTES} of an id"
        )
        return problem, "give a shorter id: files are named by it"
    if "\\" in value:
        return f"id {shown(value)} holds a backslash", "write / or _ in its place"
    if {"", ".", ".."} & set(value.split("/")):
        problem = f"id {shown(value)} is no relative path of names"
        return problem, "take out leading or doubled /, . and ..: files are named by the id"
    return None


def find_text_fault(text: str) -> Complaint | None:
    """Return the problem of a text and the remedy; None if it is valid."""
    if len(text) > MAX_TEXT:
        problem = f"the text has {len(text)} characters, more than the {MAX_TEXT} of a text"
        return problem, "cut it: a text is of one utterance"
    if not text.isprintable() and (damage := _DAMAGE.search(text)):
        return _damage("the text", damage[0])
    return None


def read_text(value: str, normalize: bool = False) -> str | None:
    r"""Return the text of a cell on one line; None if it is blank.

    Raises:
        ValueError: the text is too long, or has control characters; "problem; remedy".

    >>> read_text("so\thappy"), read_text(" ")
    ('so happy', None)
    """
    fault = find_text_fault(value)
    if fault is None:
        if normalize:
            value = normalize_text(value)
        if not value.isprintable() and (c1 := _C1.search(value)):
            remedy = "save it as UTF-8; of a table, --normalize-text repairs such text"
            fault = f"the text holds {name_of(c1[0])}", remedy
    if fault is not None:
        raise ValueError("; ".join(fault))
    return None if is_blank(value) else on_one_line(value)


def find_value_fault(name: str, value: str) -> Complaint | None:
    """Return the problem of the value of a field and the remedy; None if it is valid."""
    if len(value) > MAX_VALUE:
        problem = f"{name} has {len(value)} characters, more than {MAX_VALUE}"
        return problem, "shorten it, or map another column"
    if not value.isprintable() and (control := _CONTROL.search(value)):
        return _damage(name, control[0])
    return None


def _damage(name: str, character: str) -> Complaint:
    if "\udc80" <= character <= "\udcff":  # a byte that is not UTF-8
        return f"{name} is not UTF-8 text", "save it as UTF-8"
    return f"{name} holds {name_of(character)}", "take it out, or write the file again"


def on_one_line(text: str) -> str:
    """Replace every run of line breaks, tabs and the like by one space."""
    return text if text.isprintable() else _SPACE_RUN.sub(" ", text)


def find_control(text: str) -> str | None:
    """Return the first control character, or half of a surrogate pair; None without one."""
    control = None if text.isprintable() else _CONTROL.search(text)
    return control and control[0]


def parse_number(value: str) -> float:
    """Parse a number, which may be NaN or infinite.

    Raises:
        ValueError: it is not a number. 1_5 is refused, which Python reads as 15.
    """
    if "_" in value:
        raise ValueError(value)
    return float(value)


def find_label_fault(key: str, label: str) -> Complaint | None:
    """Return the problem of a label and the remedy.

    An invisible character, or a space that is not the plain one, makes another label.
    """
    if fault := find_value_fault(key, label):
        return fault
    characters = "" if label.isascii() else _JOINED.sub("", label)
    hidden = next((c for c in characters if is_hidden(c) or _is_odd_space(c)), None)
    if hidden is None:
        return None
    option = "--label-map" if key == "emotion" else "--sentiment-map"
    remedy = f"take it out, or map the label when preparing: {option} ${ascii(label)[:-1]}=NAME'"
    return f"{key} {shown(label)} holds {name_of(hidden)}", remedy


def file_stem(row_id: str) -> str:
    """Return the file name, without suffix, for files of one row: one path component.

    >>> file_stem("a/b c")
    'a%2Fb%20c'
    """
    stem = quote(row_id, safe="")
    if len(stem) <= MAX_ID_BYTES:
        return stem
    digest = hashlib.sha256(row_id.encode()).hexdigest()[:16]
    return f"{stem[:150].rpartition('%')[0] or stem[:150]}-{digest}"


# -- Text normalization ----------------------------------------------------------------------------

# White space that ftfy deletes, which would join the words around it.
_TO_SPACE = dict.fromkeys((0x0B, 0x1C, 0x1D, 0x1E, 0x1F), " ")
# Characters left by ftfy, which repairs encodings and straightens curly quotes.
_TO_ASCII = str.maketrans(
    {
        "\u2010": "-",  # hyphen
        "\u2011": "-",  # non-breaking hyphen
        "\u2012": "-",  # figure dash
        "\u2013": "-",  # en dash
        "\u2014": "--",  # em dash
        "\u2015": "--",  # horizontal bar
        "\u2212": "-",  # minus
        "\u2026": "...",
        "\u2032": "'",  # prime
        "\u2033": '"',  # double prime
        "\u00ad": "",  # soft hyphen
        "\u200b": "",  # zero-width space
        "\ufeff": "",  # byte order mark
    }
)


def normalize_text(text: str) -> str:
    """Repair mojibake, convert quotes, dashes and ellipses to ASCII, and merge spaces.

    >>> normalize_text("Iâ€™m \u2014 well\u2026  fianc\u00c3\u00a9e")
    "I'm -- well... fiancée"
    """
    if not (text.isascii() and text.isprintable() and "&" not in text):  # & of HTML entities
        import ftfy  # takes a fifth of a second

        text = ftfy.fix_text(text.translate(_TO_SPACE)).translate(_TO_ASCII)
    return " ".join(text.split())
