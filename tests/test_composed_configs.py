"""Configurations that tests remember are those that OmegaConf makes."""

import copy
import shlex
from typing import Any

import pytest
from fairseq import options
from fairseq.dataclass import utils
from fairseq.dataclass.initialize import add_defaults
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental import initialize
from in_process import TINY, TRAIN
from omegaconf import DictConfig, ListConfig, OmegaConf, SCMode
from omegaconf.basecontainer import BaseContainer
from omegaconf.errors import ConfigAttributeError, MissingMandatoryValue

from emo_fairseq.models.config import RobertaEMOConfig


def assert_same(one: Any, other: Any, place: str = "") -> None:
    """Of nodes: types, flags and values, and that each belongs to its own configuration."""
    assert type(one) is type(other), place
    first, second = (vars(node._metadata) for node in (one, other))
    assert {**first, "resolver_cache": None} == {**second, "resolver_cache": None}, place
    if not isinstance(one, DictConfig | ListConfig) or one._is_none():
        assert repr(one) == repr(other), place
        return
    names = list(one._content) if isinstance(one, DictConfig) else range(len(one._content))
    assert len(one._content) == len(other._content)
    for name in names:
        assert other._content[name]._parent is other
        assert_same(one._content[name], other._content[name], f"{place}.{name}")


def composed(words: str) -> DictConfig:
    line = shlex.split(f"{TRAIN} {TINY} --data x {words}")
    args = options.parse_args_and_arch(options.get_training_parser(), line)
    return convert_namespace_to_omegaconf(args)


@pytest.mark.parametrize("given", [{}, {"flags": {"allow_objects": True}}], ids=["", "flags"])
@pytest.mark.parametrize(
    "words", ["--save-dir a --lr 0.1", "--save-dir b --lr 0.2 --max-update 3", "--seed 7"]
)
def test_a_mapping_with_other_values(words: str, given: dict[str, Any]) -> None:
    """As fairseq makes one of options, and of those in a checkpoint."""
    values = OmegaConf.to_container(composed(words))
    expected = OmegaConf.create.__wrapped__(values, **given)
    found = OmegaConf.create(values, **given)
    assert_same(expected, found)
    found.common.seed = 9
    assert_same(expected, OmegaConf.create(values, **given))


def test_interpolations_and_lists_are_of_their_own_configuration() -> None:
    values = {"a": {"b": 1, "c": "${a.b}"}, "numbers": [1, 2], "nothing": None}
    first = OmegaConf.create(values)
    first.numbers.append(3)
    second = OmegaConf.create({**values, "a": {"b": 2, "c": "${a.b}"}})
    assert (first.a.c, second.a.c) == (1, 2)
    assert_same(OmegaConf.create.__wrapped__(values), OmegaConf.create(values))


def test_values_are_read_as_they_are_stored() -> None:
    """Plain ones, sections, lists, what is interpolated or missing, and what is not there."""
    config = OmegaConf.create({"a": {"b": 1, "c": "${a.b}"}, "list": [1], "none": None, "x": "???"})
    for read in (DictConfig.__getattr__, DictConfig.__getitem__):
        for name in ("a", "list", "none"):
            assert read(config, name) is read.__wrapped__(config, name)
        for name in ("b", "c"):
            assert read(config.a, name) == read.__wrapped__(config.a, name) == 1
        with pytest.raises(MissingMandatoryValue):
            read(config, "x")
    OmegaConf.set_struct(config, True)
    with pytest.raises(ConfigAttributeError):
        _ = config.y


def test_a_dataclass_and_its_values() -> None:
    """Each time a configuration of its own."""
    for given in (RobertaEMOConfig, RobertaEMOConfig(), RobertaEMOConfig(dropout=0.3)):
        expected = OmegaConf.create.__wrapped__(given)
        for _ in range(2):
            found = OmegaConf.structured(given)
            assert_same(expected, found)
            found.dropout = 0.9


def test_a_copy_is_of_its_own() -> None:
    config = composed("--lr 0.1")
    OmegaConf.set_struct(config, True)
    for original in (config, config.task):
        found = copy.deepcopy(original)
        assert_same(DictConfig.__deepcopy__.__wrapped__(original, {}), found)
        assert found._get_parent() is original._get_parent()
    found = copy.deepcopy(config)
    found.common.seed = 9
    assert config.common.seed == 1
    local = OmegaConf.create({"a": lambda: 1}, flags={"allow_objects": True})
    assert copy.deepcopy(local).a() == 1


def test_a_part_and_the_defaults_of_its_dataclass() -> None:
    for words in ("--save-dir a", "--dropout 0.3"):
        part = composed(words).model
        for schema in (RobertaEMOConfig, RobertaEMOConfig()):
            expected = OmegaConf.merge.__wrapped__(schema, part)
            for _ in range(2):
                found = OmegaConf.merge(schema, part)
                assert_same(expected, found)
                found.dropout = 0.9


def test_values_are_converted_as_they_are_stored() -> None:
    """Also what is interpolated, missing, an object, or under a name that is no text."""
    config = OmegaConf.create(
        {"a": {"b": 1, "c": "${a.b}"}, "list": [1, "x", [None, 2.5]], "x": "???", 3: True},
    )
    config.part = RobertaEMOConfig()
    config.empty = OmegaConf.create(None)
    original = BaseContainer._to_content.__wrapped__
    for given in (config, config.a, config.list, config.part, composed("--fp16").dataset):
        for resolve in (False, True):
            for as_text in (False, True):
                options = {"resolve": resolve, "enum_to_str": as_text, "throw_on_missing": False}
                found = BaseContainer._to_content(given, **options)
                assert repr(found) == repr(original(given, **options))
    kept = OmegaConf.to_container(config, structured_config_mode=SCMode.DICT_CONFIG)
    assert isinstance(kept, dict)
    assert kept["part"] is config.part
    with pytest.raises(MissingMandatoryValue):
        OmegaConf.to_container(config, throw_on_missing=True)


def test_defaults_are_those_that_fairseq_adds() -> None:
    found, expected = (composed("--lr 0.1 --dropout 0.3") for _ in range(2))
    for config, add in ((found, add_defaults), (expected, add_defaults.__wrapped__)):
        OmegaConf.set_struct(config, False)
        del config.optimizer["adam_eps"]
        add(config)
    assert found.optimizer.adam_eps == 1e-8
    assert_same(expected, found)
    again = composed("--lr 0.1 --dropout 0.3")
    found.model.dropout = 0.9
    add_defaults(again)
    assert again.model.dropout == 0.3


@pytest.fixture
def without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace what composes configurations by the functions of fairseq, Hydra and OmegaConf."""
    for owner, name in (
        (OverridesParser, "parse_override"),
        (utils, "compose"),
        (OmegaConf, "merge"),
        (OmegaConf, "create"),
        (DictConfig, "__deepcopy__"),
        (DictConfig, "__getattr__"),
        (DictConfig, "__getitem__"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name).__wrapped__)
    monkeypatch.setattr(
        BaseContainer, "_to_content", staticmethod(BaseContainer._to_content.__wrapped__)
    )
    monkeypatch.delattr(ConfigStore, "__deepcopy__")
    monkeypatch.setattr(utils, "initialize", initialize)


LINES = (
    "--save-dir a --lr 0.1",
    "--save-dir b --lr 0.2,0.1 --max-update 3 --valid-subset valid,test --dropout 0.3 --fp16",
    "--criterion emotion_regression --target vad --lr-scheduler inverse_sqrt --no-save",
)


def test_the_options_of_a_training(request: pytest.FixtureRequest) -> None:
    """Of command lines that differ in values, and in what they choose, one after the other."""
    found = [composed(words) for words in LINES]
    request.getfixturevalue("without_memory")
    for words, config in zip(LINES, found, strict=True):
        assert_same(composed(words), config)
