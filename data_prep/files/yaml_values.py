"""YAML as nested plain values, and back.

Values are built from the events of libyaml, so that aliases, tags and deep nesting are refused
before they are expanded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import yaml

from data_prep.files.document_errors import MAX_DEPTH, RefusedError, dotted_key, is_text, short

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
        """Process an event. Raises `RefusedError` if it is not allowed."""
        act = _ACTS.get(type(event))
        if act is not None:
            act(self, event)

    def scalar(self, event: yaml.ScalarEvent) -> None:
        if event.anchor is not None or (event.tag is not None and event.tag != "!"):
            self.refuse_reference(event)
        try:
            value = self._scalars.value_of(event)
        except (ValueError, OverflowError) as error:
            raise self._refused(event, f"{short(event.value)} is no value") from error
        if isinstance(value, float) and not math.isfinite(value):
            raise self._refused(event, f"is {short(event.value)}, which is no finite number")
        if event.style == '"' and not is_text(value):
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
            raise RefusedError(f"line {_line(event)}: is nested deeper than {MAX_DEPTH}")
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
            raise self._refused(event, f"has the key {short(key)} twice")
        if key == "<<":
            raise self._refused(event, "has a merge key (<<), which is not read")
        parent.key, parent.awaits_value = key, True

    def _refused(self, event: Any, problem: str) -> RefusedError:
        path: list[Any] = []
        for depth, part in enumerate(self._open, start=1):
            is_innermost = depth == len(self._open)
            if type(part.content) is list:
                path.append(len(part.content) - (not is_innermost))
            elif part.awaits_value or not is_innermost:
                path.append(part.key)
        at = f", {dotted_key(path)}" if path else ""
        return RefusedError(f"line {_line(event)}{at}: {problem}")


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


def build_yaml(text: str) -> object:
    """Parse YAML of one document.

    Raises:
        RefusedError: it is not YAML, is nested too deeply, has a duplicate key, an alias, a tag or
            a number that is not finite.
    """
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        if _LIBYAML_TOO_DEEP in str(error):  # it reads ahead of the events that are counted here
            raise RefusedError(f"{at}is nested deeper than {MAX_DEPTH}") from error
        raise RefusedError(f"{at}is not YAML ({error.problem or error.context})") from error
    except (yaml.YAMLError, UnicodeError, RecursionError) as error:
        raise RefusedError(f"is not YAML ({short(str(error))})") from error
    return builder.value


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


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
