"""Load YAML and JSON with limits and a schema.

Before a document is parsed, its size, its encoding and (for JSON) its nesting are checked; YAML is
built from the events of libyaml, so that aliases, tags and deep nesting are refused before they are
expanded. Duplicate keys, NaN and infinity are always refused. The result is strictly validated by
pydantic: our own documents (:class:`Document`) have no unknown keys, those of others
(:class:`ForeignDocument`) may. Every fault is a `ManifestError` of one sentence with the file, the
key, its value and the remedy.
"""

from __future__ import annotations

import json
import math
import os
import re
import reprlib
import stat
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, cast

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import ErrorDetails

from data_prep.errors import (
    Fault,
    ManifestError,
)

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "Count",
    "Document",
    "FileName",
    "ForeignDocument",
    "JsonObject",
    "bare_name",
    "dump_yaml",
    "load_json",
    "load_yaml",
    "parse_json",
    "parse_json_line",
    "parse_yaml",
    "read_content",
    "validate",
]

MAX_BYTES = 64 * 2**20  # of a document, such as corpus.yaml with 600,000 dropped rows
MAX_DEPTH = 64  # of nested lists and mappings; our documents have at most six
_SHOWN_FAULTS = 3  # in a message
_SHOWN_KEYS = 12  # of a schema, in the message of an unknown key

T = TypeVar("T")
JsonObject = dict[str, JsonValue]
Count = Annotated[int, Field(ge=0, le=2**53)]


def bare_name(name: str) -> str:
    """Return the name of a file. Raises ValueError for a path."""
    if name in ("", ".", "..") or "/" in name or "\\" in name:
        raise ValueError(f"{_short(name)} is not the name of a file beside it")
    return name


FileName = Annotated[str, AfterValidator(bare_name)]  # of a file in the document's own folder


class Document(BaseModel):
    """Base class of schemas of our own documents: strict types, finite numbers, no unknown keys."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class ForeignDocument(BaseModel):
    """Base class of schemas of foreign documents: strict types, other keys are allowed."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


def load_yaml(path: str | Path, schema: type[T], *, remedy: str, max_bytes: int = MAX_BYTES) -> T:
    """Load a YAML file.

    Args:
        path: the file.
        schema: a pydantic model, or any type that pydantic validates, such as `JsonObject`.
        remedy: how to fix an invalid file, appended to the message.
        max_bytes: maximum size of the file.

    Returns:
        An instance of `schema`.

    Raises:
        ManifestError: the file is missing, unreadable, too large, not YAML, or violates the schema.
    """
    content = read_content(path, remedy, max_bytes)
    return parse_yaml(content, schema, name=path, remedy=remedy, max_bytes=max_bytes)


def load_json(path: str | Path, schema: type[T], *, remedy: str, max_bytes: int = MAX_BYTES) -> T:
    """Load a JSON file; see `load_yaml`."""
    content = read_content(path, remedy, max_bytes)
    return parse_json(content, schema, name=path, remedy=remedy, max_bytes=max_bytes)


def parse_yaml(
    content: bytes | str,
    schema: type[T],
    *,
    name: str | Path,
    remedy: str,
    max_bytes: int = MAX_BYTES,
) -> T:
    """Parse YAML in memory, with `name` as the file in messages; see `load_yaml`.

    >>> parse_yaml("labels: [sad, happy]", dict[str, list[str]], name="a.yaml", remedy="correct it")
    {'labels': ['sad', 'happy']}
    """
    try:
        return validate(_build_yaml(_decode(content, max_bytes)), schema, name=name, remedy=remedy)
    except _RefusedError as error:
        raise _fault(name, str(error), remedy) from error


def parse_json(
    content: bytes | str,
    schema: type[T],
    *,
    name: str | Path,
    remedy: str,
    row: int | None = None,
    max_bytes: int = MAX_BYTES,
) -> T:
    """Parse JSON in memory, such as metadata of an archive, or line `row` of JSON lines.

    See `load_yaml`.

    >>> parse_json('{"rate": 16000}', dict[str, int], name="a.json", remedy="correct it")
    {'rate': 16000}
    """
    try:
        value = _build_json(_decode(content, max_bytes))
    except _RefusedError as error:
        raise _fault(name, str(error), remedy, row) from error
    return validate(value, schema, name=name, remedy=remedy, row=row)


def parse_json_line(line: str) -> object:
    """Parse a line of JSON lines, without checks of the characters in its strings.

    Raises:
        ValueError: the line is not JSON, is nested too deeply, or has a duplicate key or a number
            that is not finite. The message does not name the file.
    """
    try:
        return _build_json(line, takes_any_text=True)
    except _RefusedError as error:
        raise ValueError(re.sub(r"^line 1[,:] ", "", str(error))) from None


def validate(
    value: object,
    schema: type[T],
    *,
    name: str | Path,
    remedy: str,
    at: str = "",
    row: int | None = None,
) -> T:
    """Validate nested plain values, such as those in a checkpoint.

    Args:
        value: nested plain values.
        schema: see `load_yaml`.
        name: the file, for messages.
        remedy: see `load_yaml`.
        at: the key of `value` in the file, for messages.
        row: its line in a file of lines, for messages.

    Returns:
        An instance of `schema`.

    Raises:
        ManifestError: the value violates the schema; lists the first few faults.
    """
    try:
        checked: T = _adapter(cast(Hashable, schema)).validate_python(value)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        shown = [_describe(fault, value, schema, at) for fault in faults[:_SHOWN_FAULTS]]
        if more := len(faults) - len(shown):
            shown.append(f"and {more} more faults")
        raise _fault(name, "; ".join(shown), remedy, row) from error
    return checked


def dump_yaml(value: object) -> str:
    """Dump nested plain values as YAML for `load_yaml`, in order and without aliases.

    Raises:
        ValueError: a number is NaN or infinite.

    >>> print(dump_yaml({"labels": ["sad", "happy"], "sample_rate": 16000}), end="")
    labels:
    - sad
    - happy
    sample_rate: 16000
    """
    return yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, encoding=None
    )


@lru_cache
def _adapter(schema: Hashable) -> TypeAdapter[Any]:
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return TypeAdapter(schema)
    type_: Any = schema
    return TypeAdapter(type_, config=ConfigDict(strict=True, allow_inf_nan=False))


def _fault(name: str | Path, problem: str, remedy: str, row: int | None = None) -> ManifestError:
    message = " ".join(problem.split())
    return ManifestError(Fault(str(name), row, message, remedy, "document-invalid"))


# -- Bytes -----------------------------------------------------------------------------------------


class _RefusedError(ValueError):
    """The content of a document is invalid."""


def read_content(path: str | Path, remedy: str, max_bytes: int) -> bytes:
    """Return the bytes of a regular file, one more than `max_bytes` of a larger one."""
    try:
        # Without O_NONBLOCK, opening a pipe without a writer would block.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _fault(path, "is not a regular file", remedy)
            # One byte more than is accepted, since the file may grow.
            return file.read(max_bytes + 1)
    except FileNotFoundError as error:
        raise _fault(path, "not found", remedy) from error
    except IsADirectoryError as error:
        raise _fault(path, "is a folder, not a file", remedy) from error
    except (OSError, ValueError) as error:  # ValueError: NUL in the path
        if isinstance(error, ManifestError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise _fault(path, f"cannot be read ({reason})", remedy) from error


def _decode(content: bytes | str, max_bytes: int) -> str:
    if len(content) > max_bytes:
        raise _RefusedError(f"has more than the {_size(max_bytes)} that are read of such a file")
    if isinstance(content, str):
        text = content.removeprefix("\ufeff")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = 1 + content.count(b"\n", 0, error.start)
            raise _RefusedError(f"line {line}: is not UTF-8 text") from error
    if (nul := text.find("\0")) >= 0:
        raise _RefusedError(f"line {1 + text.count(chr(10), 0, nul)}: holds a NUL character")
    if not text.strip():
        raise _RefusedError("is empty")
    return text


def _size(n_bytes: int) -> str:
    return f"{n_bytes // 2**20} MiB" if n_bytes >= 2**20 else f"{n_bytes} bytes"


# -- JSON ------------------------------------------------------------------------------------------

_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_ESCAPED = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")  # NUL, and halves of surrogate pairs


class _Repeated:
    """Replaces a JSON object with a duplicate key."""

    def __init__(self, key: str) -> None:
        self.key = key


class _Objects:
    """Builds the objects of a JSON document, and records whether any may be invalid."""

    def __init__(self) -> None:
        self.are_suspect = False

    def build(self, pairs: list[tuple[str, object]]) -> object:
        """Build an object from its pairs."""
        content = dict(pairs)
        if len(content) == len(pairs):
            return content
        self.are_suspect = True
        counts = Counter(key for key, _ in pairs)
        return _Repeated(counts.most_common(1)[0][0])

    def number(self, digits: str) -> float:
        """Convert a floating number; one that is not finite is refused later, with its key."""
        value = float(digits)
        if not math.isfinite(value):
            self.are_suspect = True
        return value


def _build_json(text: str, takes_any_text: bool = False) -> object:
    _check_depth(text)
    objects = _Objects()
    objects.are_suspect = not takes_any_text and _ESCAPED.search(text) is not None
    try:
        value = json.loads(
            text,
            object_pairs_hook=objects.build,
            parse_float=objects.number,
            parse_constant=objects.number,
        )
    except RecursionError as error:
        raise _RefusedError(f"is nested deeper than {MAX_DEPTH}") from error
    except json.JSONDecodeError as error:
        raise _RefusedError(
            f"line {error.lineno}, column {error.colno}: is not JSON ({error.msg})"
        ) from error
    except ValueError as error:  # Python refuses integers of thousands of digits
        raise _RefusedError("holds a number of thousands of digits") from error
    if objects.are_suspect and (problem := _find_invalid(value, takes_any_text)):
        raise _RefusedError(problem)
    return value


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for match in _BRACKETS.finditer(text):
        mark = match[0]
        if mark in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                line = 1 + text.count("\n", 0, match.start())
                raise _RefusedError(f"line {line}: is nested deeper than {MAX_DEPTH}")
        elif mark in "]}":
            depth -= 1


def _find_invalid(value: object, takes_any_text: bool) -> str | None:
    """Return the first problem of parsed JSON, with its key. The nesting is already checked."""
    for path, part in _walk(value, ()):
        if isinstance(part, _Repeated):
            return f"{_key((*path, part.key))} is there twice"
        if isinstance(part, float) and not math.isfinite(part):
            return f"{_key(path) or 'it'} is {part}, which is no finite number"
        if isinstance(part, str) and not (takes_any_text or _is_text(part)):
            return f"{_key(path) or 'it'} holds a NUL character or half a surrogate pair"
    return None


def _walk(
    value: object, path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield (*path, key), key
            yield from _walk(part, (*path, key))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _walk(part, (*path, number))
    else:
        yield path, value


def _is_text(value: str) -> bool:
    try:
        return b"\0" not in value.encode("utf-8")
    except UnicodeEncodeError:
        return False


# -- YAML ------------------------------------------------------------------------------------------

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_STRING_TAG = "tag:yaml.org,2002:str"
_MISSING: Any = object()


class _Dumper(_DUMPER):
    def ignore_aliases(self, data: object) -> bool:
        return True

    def represent_float(self, data: float) -> Any:
        if not math.isfinite(data):
            raise ValueError(f"{data} is no finite number and cannot be written as YAML")
        return super().represent_float(data)


_Dumper.add_representer(float, _Dumper.represent_float)


class _Scalars:
    """Resolves scalars by the rules of YAML, with a cache."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}
        self._resolver = yaml.resolver.Resolver()
        self._constructor = yaml.constructor.SafeConstructor()

    def value_of(self, event: yaml.ScalarEvent) -> Any:
        """Return the value of an event. Raises ValueError if it is invalid."""
        text: str = event.value
        if not event.implicit[0]:  # in quotes
            return text
        value = self._known.get(text, _MISSING)
        if value is _MISSING:
            self._known[text] = value = self._resolve(text)
        return value

    def _resolve(self, text: str) -> Any:
        tag = self._resolver.resolve(yaml.ScalarNode, text, (True, False))
        if tag in (_STRING_TAG, "tag:yaml.org,2002:value", "tag:yaml.org,2002:merge"):
            return text
        node = yaml.ScalarNode(tag, text)
        return self._constructor.yaml_constructors[tag](self._constructor, node)


class _Open:
    """A list or mapping under construction."""

    __slots__ = ("awaits_value", "content", "key")

    def __init__(self, content: Any) -> None:
        self.content: Any = content
        self.key: Any = None  # latest key of a mapping
        self.awaits_value = False  # whether its value is next


class _Builder:
    """Builds nested plain values from the events of one YAML document."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._scalars = _Scalars()
        self._n_documents = 0
        self.value: Any = None

    def take(self, event: Any) -> None:
        """Process an event. Raises `_RefusedError` if it is not allowed."""
        act = _ACTS.get(type(event))
        if act is not None:
            act(self, event)

    def scalar(self, event: yaml.ScalarEvent) -> None:
        if event.anchor is not None or (event.tag is not None and event.tag != "!"):
            self.refuse_reference(event)
        try:
            value = self._scalars.value_of(event)
        except (ValueError, OverflowError) as error:
            raise self._refused(event, f"{_short(event.value)} is no value") from error
        if isinstance(value, float) and not math.isfinite(value):
            raise self._refused(event, f"is {_short(event.value)}, which is no finite number")
        if event.style == '"' and not _is_text(value):
            raise self._refused(event, "holds a NUL character or half a surrogate pair")
        self._add(value, event)

    def start_list(self, event: yaml.SequenceStartEvent) -> None:
        self._start([], event)

    def start_mapping(self, event: yaml.MappingStartEvent) -> None:
        self._start({}, event)

    def end(self, event: yaml.Event) -> None:
        del event
        self._open.pop()

    def start_document(self, event: yaml.Event) -> None:
        self._n_documents += 1
        if self._n_documents > 1:
            raise self._refused(event, "holds more than one document")

    def refuse_reference(self, event: Any) -> NoReturn:
        """Refuse anchors and aliases, which expand to gigabytes, and tags, which name types."""
        kind = "a tag" if getattr(event, "tag", None) else "an anchor or alias"
        raise self._refused(event, f"uses {kind}, which is not read; write the value in full")

    def _start(self, content: Any, event: Any) -> None:
        if event.anchor is not None or event.tag is not None:
            self.refuse_reference(event)
        if len(self._open) >= MAX_DEPTH:
            raise _RefusedError(f"line {_line(event)}: is nested deeper than {MAX_DEPTH}")
        self._add(content, event)
        self._open.append(_Open(content))

    def _add(self, value: Any, event: Any) -> None:
        if not self._open:
            self.value = value
            return
        parent = self._open[-1]
        if type(parent.content) is list:
            parent.content.append(value)
        elif parent.awaits_value:
            parent.content[parent.key] = value
            parent.awaits_value = False
        else:
            self._take_key(parent, value, event)

    def _take_key(self, parent: _Open, key: Any, event: Any) -> None:
        if isinstance(key, list | dict):
            raise self._refused(event, "has a list or a mapping as a key")
        if key in parent.content:
            raise self._refused(event, f"has the key {_short(key)} twice")
        if key == "<<":
            raise self._refused(event, "has a merge key (<<), which is not read")
        parent.key, parent.awaits_value = key, True

    def _refused(self, event: Any, problem: str) -> _RefusedError:
        path: list[Any] = []
        for depth, part in enumerate(self._open, start=1):
            is_innermost = depth == len(self._open)
            if type(part.content) is list:
                path.append(len(part.content) - (not is_innermost))
            elif part.awaits_value or not is_innermost:
                path.append(part.key)
        at = f", {_key(path)}" if path else ""
        return _RefusedError(f"line {_line(event)}{at}: {problem}")


_ACTS: Mapping[type, Callable[[_Builder, Any], None]] = {
    yaml.ScalarEvent: _Builder.scalar,
    yaml.SequenceStartEvent: _Builder.start_list,
    yaml.MappingStartEvent: _Builder.start_mapping,
    yaml.SequenceEndEvent: _Builder.end,
    yaml.MappingEndEvent: _Builder.end,
    yaml.DocumentStartEvent: _Builder.start_document,
    yaml.AliasEvent: _Builder.refuse_reference,
}


_LIBYAML_TOO_DEEP = "maximum nesting depth"


def _build_yaml(text: str) -> object:
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        if _LIBYAML_TOO_DEEP in str(error):  # it reads ahead of the events that are counted here
            raise _RefusedError(f"{at}is nested deeper than {MAX_DEPTH}") from error
        raise _RefusedError(f"{at}is not YAML ({error.problem or error.context})") from error
    except (yaml.YAMLError, UnicodeError, RecursionError) as error:
        raise _RefusedError(f"is not YAML ({_short(str(error))})") from error
    return builder.value


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


# -- Messages --------------------------------------------------------------------------------------

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "mapping_type": "a mapping",
    "finite_number": "a finite number",
    "none_required": "nothing",
    "string_unicode": "text",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number from {ge} up",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number up to {le}",
    "too_short": "a length from {min_length} up",
    "too_long": "a length up to {max_length}",
    "string_too_short": "a text of {min_length} characters or more",
    "literal_error": "{expected}",
    "invalid-json-value": "text, a number, true or false, a list or a mapping",
}
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxlong = 2, 3, 3, 30


def _short(value: object) -> str:
    """Return a short representation of a value."""
    if value is None or isinstance(value, date):
        return str(value or "nothing")
    return _SHORT.repr(value)


def _key(path: Sequence[object]) -> str:
    """Format a path of keys.

    >>> _key(["labels", "emotion", 2])
    'labels.emotion[2]'
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = str(part)
            name = name if len(name) <= 40 else f"{name[:37]}..."
            text += f".{name}" if text else name
    return text


def _describe(fault: ErrorDetails, value: object, schema: Any, at: str) -> str:
    """Describe a fault of pydantic: the key, its value, and the expected type."""
    path = _path_in(fault["loc"], value)
    key = ".".join(filter(None, [at, _key(path)])).replace(".[", "[") or "it"
    kind = fault["type"]
    if kind == "missing":
        return f"{key} is missing"
    if kind == "extra_forbidden":
        return f"{key} is an unknown key{_known_keys(schema, path)}"
    value_shown = _short(fault["input"])
    if kind == "value_error":
        return f"{key}: {fault['ctx']['error']}"
    if kind == "invalid_key" or fault["loc"][-1:] == ("[key]",):
        return f"{key}: the key {value_shown} is no text; put it in quotes"
    expected = _expected(fault)
    quote = "; put it in quotes" if kind == "string_type" and _was_text(fault["input"]) else ""
    return f"{key} is {value_shown} where {expected} is expected{quote}"


def _expected(fault: ErrorDetails) -> str:
    bounds = fault.get("ctx", {})
    if known := _EXPECTED.get(fault["type"]):
        return known.format(**bounds)
    return fault["msg"].removeprefix("Input should be ").removeprefix("Input should ")


def _was_text(value: object) -> bool:
    """Return whether YAML may have converted what was meant as text."""
    return value is not None and not isinstance(value, str | list | dict)


def _path_in(location: Sequence[object], value: object) -> list[object]:
    """Return pydantic's location without types of unions, which are not in the document."""
    path: list[object] = []
    for number, step in enumerate(location, start=1):
        is_last = number == len(location)
        try:
            value = value[step]  # type: ignore[index]
        except (LookupError, TypeError):
            if not (is_last and isinstance(value, dict) and step != "[key]"):
                continue
        path.append(step)
    return path


def _known_keys(schema: Any, path: Sequence[object]) -> str:
    """Return the keys at the top of the schema, for the message of an unknown key."""
    if len(path) != 1 or not (isinstance(schema, type) and issubclass(schema, BaseModel)):
        return ""
    names = [field.alias or name for name, field in schema.model_fields.items()]
    rest = ", ..." if len(names) > _SHOWN_KEYS else ""
    return f" (known: {', '.join(names[:_SHOWN_KEYS])}{rest})"


# -- Errors of PyYAML, for files that are read by Hydra --------------------------------------------


def yaml_sentence(error: yaml.YAMLError) -> str:
    """Return a message with the file, the line and the problem.

    >>> try:
    ...     yaml.safe_load("a: [")
    ... except yaml.YAMLError as error:
    ...     yaml_sentence(error)
    "<unicode string>: line 1, column 5: is not YAML (expected the node content, but found \
'<stream end>'); correct it"
    """
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "context", None) or str(error)
    where = "" if mark is None else f"{mark.name}: line {mark.line + 1}, column {mark.column + 1}: "
    message = " ".join(str(problem).split())
    return f"{where}is not YAML ({message}); correct it"
