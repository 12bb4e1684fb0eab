"""Load YAML and JSON with limits and a schema.

The modules, in the order in which a document passes through them::

    file ──documents──▶ text, of bounded size ──json_values, yaml_values──▶ nested plain values
         ──documents──▶ an instance of the schema

Nesting, duplicate keys, aliases, tags, NaN and infinity are refused while plain values are built.
These are strictly validated by pydantic: our own documents (:class:`Document`) have no unknown
keys, those of others (:class:`ForeignDocument`) may. Every fault is a `ManifestError` of one
sentence with the file, the key, its value and the remedy
(:mod:`data_prep.files.document_errors`).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Hashable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
)

from data_prep.errors import Fault, ManifestError
from data_prep.files.document_errors import RefusedError, describe_fault, short
from data_prep.files.json_values import build_json
from data_prep.files.yaml_values import build_yaml

MAX_BYTES = 64 * 2**20  # of a document, such as corpus.yaml with 600,000 dropped rows
_SHOWN_FAULTS = 3  # in a message

T = TypeVar("T")
JsonObject = dict[str, JsonValue]
Count = Annotated[int, Field(ge=0, le=2**53)]


def bare_name(name: str) -> str:
    """Return the name of a file. Raises ValueError for a path."""
    if name in ("", ".", "..") or "/" in name or "\\" in name:
        raise ValueError(f"{short(name)} is not the name of a file beside it")
    return name


FileName = Annotated[str, AfterValidator(bare_name)]  # of a file in the document's own folder


class Document(BaseModel):
    """Base class of schemas of our own documents: strict types, finite numbers, no unknown keys."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class ForeignDocument(BaseModel):
    """Base class of schemas of foreign documents: strict types, other keys are allowed."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, defer_build=True)


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
        return validate(build_yaml(_decode(content, max_bytes)), schema, name=name, remedy=remedy)
    except RefusedError as error:
        raise _fault(name, str(error), remedy) from error


def parse_json(
    content: bytes | str,
    schema: type[T],
    *,
    name: str | Path,
    remedy: str,
    max_bytes: int = MAX_BYTES,
) -> T:
    """Parse JSON in memory, such as metadata of an archive; see `load_yaml`.

    >>> parse_json('{"rate": 16000}', dict[str, int], name="a.json", remedy="correct it")
    {'rate': 16000}
    """
    try:
        value = build_json(_decode(content, max_bytes))
    except RefusedError as error:
        raise _fault(name, str(error), remedy) from error
    return validate(value, schema, name=name, remedy=remedy)


def parse_json_line(line: str) -> object:
    """Parse a line of JSON lines, without checks of the characters in its strings.

    Raises:
        ValueError: the line is not JSON, is nested too deeply, or has a duplicate key or a number
            that is not finite. The message does not name the file.
    """
    try:
        return build_json(line, takes_any_text=True)
    except RefusedError as error:
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
        shown = [describe_fault(fault, value, schema, at) for fault in faults[:_SHOWN_FAULTS]]
        if more := len(faults) - len(shown):
            shown.append(f"and {more} more faults")
        raise _fault(name, "; ".join(shown), remedy, row) from error
    return checked


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
        raise RefusedError(f"has more than the {_size(max_bytes)} that are read of such a file")
    if isinstance(content, str):
        text = content.removeprefix("\ufeff")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = 1 + content.count(b"\n", 0, error.start)
            raise RefusedError(f"line {line}: is not UTF-8 text") from error
    if (nul := text.find("\0")) >= 0:
        raise RefusedError(f"line {1 + text.count(chr(10), 0, nul)}: holds a NUL character")
    if not text.strip():
        raise RefusedError("is empty")
    return text


def _size(n_bytes: int) -> str:
    return f"{n_bytes // 2**20} MiB" if n_bytes >= 2**20 else f"{n_bytes} bytes"
