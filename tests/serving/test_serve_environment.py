"""Every option of ``serve`` is an environment variable, too, and both are documented."""

import argparse
import re
from pathlib import Path

import pytest
from codes import raises

from emo_fairseq.cli.serve_options import (
    OPTIONS,
    PREFIX,
    TOKENS,
    TRANSCRIPTION,
    add_serve_options,
    limits,
    values_of,
)
from emo_fairseq.cli.transcription import add_transcription_options
from emo_fairseq.serving.limits import Limits, limit_options, limits_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "environment.md"


def values(words="", **environment):
    parser = argparse.ArgumentParser()
    add_serve_options(parser)
    add_transcription_options(parser)
    prefixed = {PREFIX + name: value for name, value in environment.items()}
    return values_of(parser.parse_args(words.split()), prefixed)


def test_without_options_the_limits_are_the_defaults():
    assert limits_of(values()) == Limits()


@pytest.mark.parametrize("name", sorted(limit_options()))
def test_each_limit_is_a_flag_and_a_variable(name):
    option = limit_options()[name]
    other = "2" if getattr(Limits, name) != 2 * option.unit else "3"
    by_flag = limits_of(values(f"{option.flag} {other}"))
    by_variable = limits_of(values(**{limits()[name].variable.removeprefix(PREFIX): other}))
    assert by_flag == by_variable
    assert getattr(by_flag, name) == pytest.approx(float(other) * option.unit)


def test_a_flag_comes_before_its_variable_and_an_empty_one_is_none():
    assert values("--burst 3", BURST="4")["burst"] == 3
    assert values(BURST="", PORT=" ")["burst"] is None
    assert values(PORT="9000")["port"] == 9000


def test_transcription_is_a_flag_or_a_variable():
    found = values("--language en", TRANSCRIBE="small", LANGUAGE="de", TRANSCRIBE_DEVICE="cuda")
    assert {name: found[name] for name in TRANSCRIPTION} == {
        "transcribe": "small",
        "language": "en",
        "transcribe_device": "cuda",
    }
    assert values()["transcribe"] is None


def test_repeated_options_are_separated_by_commas():
    found = values(TRUSTED_PROXY="10.0.0.0/8, ::1", ALLOW_HOST="a.example,b.example")
    assert found["trusted_proxy"] == ["10.0.0.0/8", "::1/128"]
    assert found["allow_host"] == ["a.example", "b.example"]
    assert values("--trusted-proxy 10.1.2.3 --trusted-proxy ::1")["trusted_proxy"] == [
        "10.1.2.3/32",
        "::1/128",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BURST", "1.5"),
        ("PORT", "http"),
        ("WORKERS", "0"),
        ("ANSWER_SECONDS", "nan"),
        ("BATCH_WAIT_MILLISECONDS", "-1"),
        ("TRUSTED_PROXY", "10.0.0.1/8"),  # has bits of a host
        ("TRUSTED_PROXY", "proxy.example"),
        ("TRANSCRIBE_DEVICE", "tpu"),
    ],
)
def test_a_wrong_value_names_the_variable(name, value):
    with raises("variable-invalid") as error:
        values(**{name: value})
    assert f"{PREFIX}{name} {value}" in str(error.value)


def test_an_unknown_variable_is_reported(caplog):
    values(UPLOAD_MEGABYTE="5", TOKENS="x")
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{PREFIX}UPLOAD_MEGABYTE is no variable of serve, and has no effect; is it "
        f"{PREFIX}UPLOAD_MEGABYTES?"
    )


def test_bodies_that_are_held_grow_with_the_largest_one_unless_they_are_given():
    assert limits_of(values("--upload-megabytes 100")).held_bytes == 400_000_000
    given = "--upload-megabytes 100 --held-megabytes 120"
    assert limits_of(values(given)).held_bytes == 120_000_000


def test_the_page_of_variables_has_them_all_with_their_defaults():
    found = dict(re.findall(r"^\| `(\w+)` \| `(--[\w-]+)` \|", PAGE.read_text(), re.MULTILINE))
    every = {**OPTIONS, **TRANSCRIPTION, **limits()}
    assert found == {option.variable: option.flag for option in every.values()}
    assert TOKENS in PAGE.read_text()
    for option in limits().values():
        assert f"`{option.variable}` | `{option.flag}` | {option.default:g} |" in PAGE.read_text()
