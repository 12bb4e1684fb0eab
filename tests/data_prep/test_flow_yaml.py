"""Missing values in braces: read as in a block; everything else as PyYAML reads it."""

import json
import subprocess
import sys

import pytest
import yaml
from omegaconf import OmegaConf

from data_prep.files import flow_yaml

OTHERS = ["a: ???", "{? a : b}", "{a: 1, ? b: 2}", "[a?, b?]", "{a?b: c}", "? [a]\n: b", "a: b ? c"]

PROGRAM = """
import json, sys, yaml
for text in json.loads(sys.argv[1]):
    try:
        print(yaml.safe_load(text))
    except yaml.YAMLError as error:
        print(type(error))
"""


def parsed(text):
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        return type(error)


@pytest.fixture(scope="module")
def before():
    """What PyYAML makes of the others, in an interpreter that has not changed it."""
    words = [sys.executable, "-c", PROGRAM, json.dumps(OTHERS)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{data: ???}", {"data": "???"}),
        ("{data: ???, seed: 1}", {"data": "???", "seed": 1}),
        ("{a: {b: [???, ???]}}", {"a": {"b": ["???", "???"]}}),
        ("[\n ???\n]", ["???"]),
    ],
)
def test_it_is_read_in_braces_and_brackets(text, value):
    flow_yaml.apply()
    flow_yaml.apply()
    assert yaml.safe_load(text) == value


def test_omegaconf_takes_it_for_a_missing_value():
    flow_yaml.apply()
    config = OmegaConf.create("task: {data: ???, modality: text}")
    assert OmegaConf.is_missing(config.task, "data")
    assert config.task.modality == "text"


def test_all_else_is_read_as_before(before):
    flow_yaml.apply()
    assert [str(parsed(text)) for text in OTHERS] == before
