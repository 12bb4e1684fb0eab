"""Hydra's work on the options of fairseq's commands, done once for all commands of a process.

fairseq turns a command line into 350 overrides, which Hydra parses and applies to a configuration
that it composes of 16 files, and merges each part of it with a dataclass several times: most of the
time that a training of two updates takes.
"""

import contextlib
import copy
import dataclasses
import functools
import io
import pickle
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from fairseq import options
from fairseq.dataclass import initialize, utils
from hydra import initialize_config_module
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, ListConfig, OmegaConf, SCMode
from omegaconf.basecontainer import BaseContainer

Compose = Callable[..., DictConfig]


def remember() -> None:
    """Parse each override once, and compose what commands choose, such as the optimizer, once."""
    if not hasattr(utils.compose, "__wrapped__"):
        OverridesParser.parse_override = _parsed_once(OverridesParser.parse_override)
        utils.compose = _composed_once(utils.compose)
        OmegaConf.merge = _merged_once(OmegaConf.merge)
        OmegaConf.create = _created_once(OmegaConf.create)
        DictConfig.__deepcopy__ = _copied_by_bytes(DictConfig.__deepcopy__)
        BaseContainer._to_content = staticmethod(_converted_at_once(BaseContainer._to_content))
        initialize.add_defaults = _added_without_copies(initialize.add_defaults)
        for name in ("fairseq_cli.train", "fairseq_cli.hydra_train"):  # else they are not imported
            if name in sys.modules:
                sys.modules[name].add_defaults = initialize.add_defaults  # type: ignore[attr-defined]
        for name in ("__getattr__", "__getitem__"):
            setattr(DictConfig, name, _read_at_once(getattr(DictConfig, name)))
        # Hydra copies it, with all configurations in it, for each that it composes.
        ConfigStore.__deepcopy__ = lambda store, memo: store
        # It looks at the source of every function that is running.
        utils.initialize = lambda config_path: contextlib.nullcontext()


def compose_before() -> None:
    """Compose what most tests train and validate with, for processes that are forked after."""
    task = "--task emotion_prediction --data x"
    training = "--arch robertaEMO_tiny --criterion emotion_prediction_cri --optimizer adam"
    for parser, words in (
        (options.get_training_parser(), f"{task} {training}"),
        (options.get_validation_parser(), f"{task} --path x"),
    ):
        utils.convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, words.split()))


def _parsed_once(parse: Callable[[OverridesParser, str], Override]) -> Callable[..., Override]:
    parsed: dict[str, Override] = {}

    @functools.wraps(parse)
    def parse_override(self: OverridesParser, words: str) -> Override:
        if words not in parsed:
            parsed[words] = parse(self, words)
        return copy.copy(parsed[words])

    return parse_override


def _composed_once(compose: Compose) -> Compose:
    composed: dict[tuple[str, ...], tuple[_Original, dict[str, Any]]] = {}

    @functools.wraps(compose)
    def compose_once(name: str, overrides: Sequence[str], strict: bool) -> DictConfig:
        """As Hydra does: the groups are composed, then the values are applied in their order."""
        choices = tuple(words for words in overrides if "." not in words.partition("=")[0])
        if choices not in composed:
            with initialize_config_module("fairseq.config"):
                config = compose(name, overrides=list(choices), strict=strict)
            composed[choices] = _Original(config), _flat(OmegaConf.to_container(config))
        original, known = composed[choices]
        config = original.copy()
        parser = OverridesParser.create()
        values = [parser.parse_override(words) for words in overrides if words not in choices]
        changed = [value for value in values if not _is_there(value, known)]
        OmegaConf.set_struct(config, True)
        ConfigLoaderImpl._apply_overrides_to_config(changed, config)
        OmegaConf.set_struct(config, strict)
        return config

    return compose_once


def _merged_once(merge: Compose) -> Compose:
    merged: dict[tuple[Any, ...], _Original] = {}

    @functools.wraps(merge)
    def merge_once(*configs: Any, **options: Any) -> Any:
        """As OmegaConf does; remembered is what fairseq merges with the defaults of a dataclass."""
        if len(configs) != 2 or options or not _is_of_schema(*configs):
            return merge(*configs, **options)
        schema, given = configs
        metadata = given._metadata
        kind = schema if isinstance(schema, type) else (type(schema), repr(schema))
        values = repr(OmegaConf.to_container(given))
        key = kind, values, metadata.object_type, repr(metadata.flags)
        if key not in merged:
            merged[key] = _Original(merge(schema, given))
        return merged[key].copy()

    return merge_once


def _is_of_schema(schema: Any, given: Any) -> bool:
    is_there = isinstance(given, DictConfig) and not given._is_none()
    return is_there and dataclasses.is_dataclass(schema)


def _converted_once(create: Compose) -> Compose:
    converted: dict[Any, _Original] = {}

    def of_dataclass(given: Any, *more: Any, **options: Any) -> Any:
        if any(more) or options:
            return create(given, *more, **options)
        key = given if isinstance(given, type) else (type(given), repr(given))
        if key not in converted:
            converted[key] = _Original(create(given))
        return converted[key].copy()

    return of_dataclass


def _created_once(create: Compose) -> Compose:
    created: dict[tuple[Any, ...], tuple[_Original, list[Any]]] = {}
    of_dataclass = _converted_once(create)

    @functools.wraps(create)
    def create_once(*values: Any, **options: Any) -> Any:
        """As OmegaConf does; of a mapping with the keys of a former one, what differs is set."""
        if dataclasses.is_dataclass(values[0] if values else None):
            return of_dataclass(*values, **options)
        if len(values) != 1 or options.keys() - {"flags"} or type(values[0]) is not dict:
            return create(*values, **options)
        given = values[0]
        sections = [name for name, value in given.items() if type(value) is dict and value]
        # Each section by itself, since two commands differ in few; what is in one is set below.
        outer: dict[Any, Any] = {**given, **{name: {} for name in sections}}
        kinds: list[Any] = []
        plain: list[tuple[tuple[str, ...], Any]] = []
        if not _take_apart(outer, (), kinds, plain):
            return create(*values, **options)
        key = repr(options), *kinds
        if key not in created:
            created[key] = _Original(create(outer, **options)), plain
        original, before = created[key]
        config = original.copy()
        for ((name,), value), (_, known) in zip(plain, before, strict=True):
            if value != known:
                config._content[name]._set_value(value)
        for name in sections:
            section = create_once(given[name])
            section._set_key(name)
            section._set_parent(config)
            config._content[name] = section
        return config

    return create_once


def _copied_by_bytes(copy_deeply: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    @functools.wraps(copy_deeply)
    def deepcopy(self: DictConfig, memo: dict[int, Any]) -> DictConfig:
        """As OmegaConf does, in half the time, of a whole configuration of what bytes can hold."""
        if memo or self._get_parent() is not None:
            return copy_deeply(self, memo)
        try:
            return _Original(self).copy()
        except (AttributeError, TypeError, pickle.PicklingError):
            return copy_deeply(self, memo)

    return deepcopy


def _converted_at_once(convert: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(convert)
    def to_content(conf: Any, **options: Any) -> Any:
        """As OmegaConf does; plain values are neither checked nor resolved."""
        if options.get("structured_config_mode", SCMode.DICT) is SCMode.DICT:
            with contextlib.suppress(_SpecialError):
                return _plain(conf, options.get("enum_to_str", False))
        return convert(conf, **options)

    return to_content


class _SpecialError(Exception):
    """A value is not plain, such as one that is missing."""


def _plain(node: Any, enum_to_str: bool) -> Any:
    if isinstance(node, DictConfig | ListConfig):
        content = node.__dict__["_content"]
        if type(content) is dict and {*map(type, content)} <= {str}:
            return {name: _plain(value, enum_to_str) for name, value in content.items()}
        if type(content) is list:
            return [_plain(value, enum_to_str) for value in content]
        raise _SpecialError
    value = node._val
    if value is None or (type(value) in _PLAIN and not (type(value) is str and _is_special(value))):
        return value
    if isinstance(value, Enum):
        return value.name if enum_to_str else value
    raise _SpecialError


def _added_without_copies(add: Callable[[DictConfig], None]) -> Callable[[DictConfig], None]:
    @functools.wraps(add)
    def add_defaults(config: DictConfig) -> None:
        """As fairseq does; what it merges, which nothing else refers to, is set without a copy."""
        merge = utils.merge_with_parent

        def merge_alone(*given: Any, **options: Any) -> DictConfig:
            merged = merge(*given, **options)
            merged._set_parent(None)  # else it is copied: it would be of the same configuration
            return merged

        config._set_flag("no_deepcopy_set_nodes", True)
        utils.merge_with_parent = merge_alone
        try:
            add(config)
        finally:
            utils.merge_with_parent = merge
            config._set_flag("no_deepcopy_set_nodes", None)

    return add_defaults


def _read_at_once(read: Callable[[DictConfig, Any], Any]) -> Callable[[DictConfig, Any], Any]:
    @functools.wraps(read)
    def read_option(self: DictConfig, name: Any) -> Any:
        """As OmegaConf does; a plain value that is there is neither checked nor resolved."""
        content = self.__dict__.get("_content")
        node = content.get(name) if type(content) is dict and type(name) is str else None
        if isinstance(node, DictConfig | ListConfig):
            if type(node._content) in (dict, list):
                return node
        elif node is not None:
            value = node._val
            if value is None or type(value) in (bool, int, float):
                return value
            if type(value) is str and not _is_special(value):
                return value
        return read(self, name)

    return read_option


def _take_apart(
    values: dict[Any, Any], place: tuple[str, ...], kinds: list[Any], plain: list[Any]
) -> bool:
    """List the keys and types of nested values, and what is plain; False where neither is."""
    for name, value in values.items():
        path, kind = (*place, name), type(value)
        if kind is dict:
            kinds.append((path, len(value)))
            if not _take_apart(value, path, kinds, plain):
                return False
        elif kind in (bool, int, float) or (kind is str and not _is_special(value)):
            kinds.append((path, kind))
            plain.append((path, value))
        elif value is None or kind is str or (kind is list and set(map(type, value)) <= _PLAIN):
            kinds.append((path, repr(value)))
        else:
            return False
    return True


_PLAIN = {bool, int, float, str}


def _is_special(value: str) -> bool:
    """Whether a string is one that OmegaConf interpolates, or that stands for a missing value."""
    return "${" in value or value == "???"


class _Original:
    """A configuration without parent; a copy is read from bytes in a sixth of deepcopy's time."""

    def __init__(self, config: DictConfig) -> None:
        stream = io.BytesIO()
        self._types: list[type] = []
        _Pickler(stream, self._types).dump(config)
        self._content = stream.getvalue()

    def copy(self) -> DictConfig:
        config: DictConfig = _Unpickler(io.BytesIO(self._content), self._types).load()
        return config


class _Pickler(pickle.Pickler):
    """Takes the number of a type that is not found in its module, such as fairseq's choices."""

    def __init__(self, stream: io.BytesIO, types: list[type]) -> None:
        super().__init__(stream, pickle.HIGHEST_PROTOCOL)
        self._types = types

    def persistent_id(self, value: Any) -> int | None:
        if not isinstance(value, type):
            return None
        if getattr(sys.modules.get(value.__module__), value.__qualname__, None) is value:
            return None
        if value not in self._types:
            self._types.append(value)
        return self._types.index(value)


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, types: list[type]) -> None:
        super().__init__(stream)
        self._types = types

    def persistent_load(self, number: int) -> type:
        return self._types[number]


def _flat(values: Any, name: str = "") -> dict[str, Any]:
    """Options by their whole names."""
    if not isinstance(values, dict):
        return {name: values}
    parts = (_flat(value, f"{name}.{key}" if name else key) for key, value in values.items())
    return {name: value for part in parts for name, value in part.items()}


def _is_there(override: Override, known: dict[str, Any]) -> bool:
    """Whether a plain value is that of the composed configuration, as most are."""
    value = override.value()
    if override.type is not OverrideType.CHANGE or not isinstance(
        value, bool | int | float | str | None
    ):
        return False
    name = override.key_or_group
    return name in known and type(known[name]) is type(value) and known[name] == value
