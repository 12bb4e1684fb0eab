"""The loader of YAML and JSON: what it bounds before it parses, and the sentences it makes."""

import os
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import yaml
from codes import raises
from pydantic import Field

from data_prep.errors import ManifestError
from data_prep.files.document_errors import MAX_DEPTH
from data_prep.files.documents import (
    Document,
    FileName,
    ForeignDocument,
    JsonObject,
    load_json,
    load_yaml,
    parse_json,
    parse_yaml,
)
from data_prep.files.yaml_values import dump_yaml

REMEDY = "write it again"


class Inner(Document):
    size: int
    share: float = 0.5


class Card(Document):
    name: str
    labels: dict[str, list[str]] = Field(default_factory=dict)
    parts: list[Inner] = Field(default_factory=list)
    file: FileName = "a.txt"


class TheirCard(ForeignDocument):
    hidden_size: int


def yaml_error(text: str | bytes, schema: type = JsonObject) -> str:
    with pytest.raises(ManifestError) as error:
        parse_yaml(text, schema, name="f.yaml", remedy=REMEDY)
    return str(error.value)


def json_error(text: str | bytes, schema: type = JsonObject) -> str:
    with pytest.raises(ManifestError) as error:
        parse_json(text, schema, name="f.json", remedy=REMEDY)
    return str(error.value)


def alias_bomb() -> str:
    """Nine levels of nine: 10^9 strings in 432 bytes."""
    lines = ["a0: &a0 [" + ", ".join(["lol"] * 9) + "]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]" for n in range(1, 9)]
    return "\n".join(lines)


def test_yaml_has_the_values_that_pyyaml_gives() -> None:
    text = (
        "name: x\nempty:\nyes: true\nn: 12\nhex: 0x1f\nf: 1.5e+3\nquoted: '12'\n"
        "block: |\n  a\n  b\nfolded: >\n  a\n  b\nlist: [1, ~, off, '~']\nmap: {a: {b: []}}\n"
        'emoji: "\\U0001F600"\n'
    )
    expected = {str(key): value for key, value in yaml.safe_load(text).items()}
    text = text.replace("\nyes:", "\n'True':")  # a key that is text
    assert parse_yaml(text, JsonObject, name="f", remedy=REMEDY) == expected


def test_a_document_that_was_dumped_is_loaded_without_anchors() -> None:
    shared = ["a", "b"]
    content = {"one": shared, "two": shared, "text": "yes", "number": "1e3", "f": 1e-7}
    text = dump_yaml(content)
    assert "&" not in text
    assert parse_yaml(text, JsonObject, name="f", remedy=REMEDY) == content


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_number_that_is_none_is_not_written(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        dump_yaml({"a": [value]})


def test_a_bomb_of_aliases_costs_nothing() -> None:
    bomb = alias_bomb()
    assert len(bomb) < 500
    tracemalloc.start()
    try:
        message = yaml_error(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert message == (
        "f.yaml: line 1, a0: uses an anchor or alias, which is not read; write the value in full; "
        "write it again"
    )
    assert peak < 2**20


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("*a", "anchor or alias"),
        ("a: &x 1", "line 1, a: uses an anchor"),
        ("a: !!python/object/apply:os.system [ls]", "uses a tag"),
        ("a: !!str 3", "uses a tag"),
        ("a: !!binary aGk=", "uses a tag"),
        ("<<: {a: 1}", "merge key"),
        ("a: {b: 1, b: 2}", "line 1, a: has the key 'b' twice"),
        ("a: 1\nb: 2\na: 3", "line 3: has the key 'a' twice"),
        ("a: [1, {b: .nan}]", r"line 1, a\[1\].b: is '.nan', which is no finite number"),
        ("a: -.inf", "no finite number"),
        ("a: 1e400\nb: 1.0e+400", "no finite number"),
        ("a: 2020-13-45", "'2020-13-45' is no value"),
        ("a: [", "line 2, column 1: is not YAML"),
        ("a: \t- b", "is not YAML"),
        ("? [a]\n: b", "as a key"),
        ("--- 1\n--- 2", "more than one document"),
        ('a: "\\0"', "NUL"),
        ("a: \0", "line 1: holds a NUL"),
        ("", "is empty"),
        (" \n ", "is empty"),
        (b"a: \xff\xfe", "line 1: is not UTF-8"),
        ("a: 1\nb: 2".encode("utf-16"), "is not UTF-8"),
        ("[" * 100_000, f"nested deeper than {MAX_DEPTH}"),
        ("- " * 100_000 + "a", f"nested deeper than {MAX_DEPTH}"),
        ("{a: " * 100_000, f"nested deeper than {MAX_DEPTH}"),
        ("# nothing", "it is nothing where a mapping is expected"),
        ("{3: 4}", "3 is no text; put it in quotes"),
        ("a: 2020-01-01", "a is 2020-01-01 where text"),
    ],
)
def test_yaml_that_is_refused(text: str | bytes, what: str) -> None:
    message = yaml_error(text)
    assert re.search(what, message)
    assert message.startswith("f.yaml: ")
    assert message.endswith(f"; {REMEDY}")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"a": 1, "a": 2}', "a is there twice"),
        ('{"a": [{"b": 1, "b": 2}]}', "a[0].b is there twice"),
        ('{"a": [1, NaN]}', "a[1] is nan, which is no finite number"),
        ('{"a": {"b": -Infinity}}', "a.b is -inf"),
        ('{"a": 1e400}', "a is inf"),
        ('{"a": ' + "9" * 400 + ".0}", "a is inf"),
        ('{"a": ' + "9" * 5000 + "}", "a number of thousands of digits"),
        ('{"a": "\\u0000"}', "a holds a NUL"),
        ('{"a\\u0000": 1}', "NUL"),
        ('{"a": "\\ud800"}', "half a surrogate pair"),
        ('{"a": "\0"}', "NUL"),
        ("[" * 100_000, f"nested deeper than {MAX_DEPTH}"),
        ('{"a":' * 100_000, f"nested deeper than {MAX_DEPTH}"),
        ('["' + "[" * 200 + '", ' + "[" * 100, f"nested deeper than {MAX_DEPTH}"),
        ('{"a": 1', "line 1, column 8: is not JSON"),
        ("{'a': 1}", "is not JSON"),
        ("", "is empty"),
        (b'{"a": "\xe9"}', "is not UTF-8"),
        ("[1]", "it is [1] where a mapping is expected"),
    ],
)
def test_json_that_is_refused(text: str | bytes, what: str) -> None:
    message = json_error(text)
    assert what in message
    assert message.startswith("f.json: ")
    assert message.endswith(f"; {REMEDY}")


def test_what_is_odd_but_right_is_loaded() -> None:
    brackets = "[{" * 100
    assert parse_json('\ufeff{"a": "\\ud83d\\ude00"}', JsonObject, name="f", remedy="") == {
        "a": "😀"
    }
    assert parse_json(b'\xef\xbb\xbf{"a": "\\\\u0000"}', JsonObject, name="f", remedy="") == {
        "a": "\\u0000"
    }
    assert parse_json(f'{{"a": "{brackets}"}}', JsonObject, name="f", remedy="") == {"a": brackets}
    assert parse_yaml(f'a: "{brackets}"', JsonObject, name="f", remedy="") == {"a": brackets}
    deep = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert parse_json(f'{{"a": {deep}}}', JsonObject, name="f", remedy="")
    assert parse_yaml(f"a: {deep}", JsonObject, name="f", remedy="")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{}", "name is missing"),
        ("name: 3", "name is 3 where text is expected; put it in quotes"),
        ("name: no", "name is False where text is expected; put it in quotes"),
        ("name:", "name is nothing where text is expected"),
        ("name: a\nlables: {}", "lables is an unknown key (known: name, labels, parts, file)"),
        ("name: a\nlabels: {emotion: [a, b, 3]}", "labels.emotion[2] is 3 where text is expected"),
        ("name: a\nlabels: [a]", "labels is ['a'] where a mapping is expected"),
        ("name: a\nlabels: {emotion: a}", "labels.emotion is 'a' where a list is expected"),
        ("name: a\nparts: [{size: 1}, {size: 1.5}]", "parts[1].size is 1.5 where a whole number"),
        ("name: a\nparts: [{size: true}]", "parts[0].size is True where a whole number"),
        ("name: a\nparts: [{size: '1'}]", "parts[0].size is '1' where a whole number"),
        ("name: a\nparts: [{size: 1, x: 1}]", "parts[0].x is an unknown key"),
        ("name: a\nparts: [{}]", "parts[0].size is missing"),
        ("name: a\nparts: [7]", "parts[0] is 7 where a mapping is expected"),
        ("name: a\nfile: ../../etc/passwd", "'../../etc/passwd' is not the name of a file"),
        (f"name: {['x' * 500]}", "...xxxx"),
    ],
)
def test_a_fault_names_the_key_and_what_was_found(text: str, what: str) -> None:
    message = yaml_error(text, Card)
    assert what in message
    assert len(message) < 300


def test_of_many_faults_the_first_are_named_and_the_rest_counted() -> None:
    message = yaml_error("name: a\nparts: [" + "{}, " * 100 + "]", Card)
    assert "parts[2].size is missing; and 97 more faults; write it again" in message
    assert "parts[3]" not in message


def test_a_document_of_others_may_hold_more() -> None:
    card = parse_json('{"hidden_size": 8, "x": [1]}', TheirCard, name="f", remedy=REMEDY)
    assert card.hidden_size == 8
    assert "hidden_size is '8' where a whole number" in json_error(
        '{"hidden_size": "8"}', TheirCard
    )


@pytest.mark.parametrize("load", [load_json, load_yaml])
def test_a_file_that_cannot_be_read_is_named(load: Any, tmp_path: Path) -> None:
    def error_of(path: Path | str, **options: Any) -> str:
        with pytest.raises(ManifestError) as error:
            load(path, JsonObject, remedy=REMEDY, **options)
        assert str(error.value).startswith(str(path))
        return str(error.value)

    assert error_of(tmp_path / "none") == f"{tmp_path / 'none'}: not found; {REMEDY}"
    assert "is a folder" in error_of(tmp_path)
    assert "Not a directory" in error_of(Path(__file__) / "x")
    assert "null byte" in error_of("a\0b")
    os.mkfifo(tmp_path / "pipe")
    assert "is not a regular file" in error_of(tmp_path / "pipe")
    file = tmp_path / "large"
    file.write_text('{"a": "' + "x" * 1000 + '"}')
    assert load(file, JsonObject, remedy=REMEDY)
    assert "has more than the 100 bytes that are read" in error_of(file, max_bytes=100)


def test_a_file_without_permission_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:  # root may read everything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with raises("document-invalid"):
        load_json("f.json", JsonObject, remedy=REMEDY)
