"""Labels that may not be what they seem: warned of where a data dir is made and shown."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from data_prep.commands.hf_table import main as prepare_published
from data_prep.commands.inspect_corpus import main as inspect
from data_prep.commands.summary import main as summarize
from data_prep.commands.table import main as prepare
from data_prep.commands.validate import main as validate
from data_prep.folds.__main__ import main as make_folds
from data_prep.manifest.cells import find_label_fault
from data_prep.manifest.labels import (
    check_counts,
    check_folds,
    sort_labels,
)
from data_prep.schema import Utterance, read_corpus, read_manifest

UNLEARNED = "in test, and not in train, where no model can learn it"
ONE_CLASS = "is the only class there is: there is nothing to classify, and a training refuses it"


def write_table(path: Path, labels: list[tuple[str, str]]) -> Path:
    """A table of (set, label), a row each."""
    rows = [f'{n},some words {n},"{label}",{part}' for n, (part, label) in enumerate(labels)]
    path.write_text("\n".join(["id,text,label,set", *rows]) + "\n", encoding="utf-8")
    return path


def words_for(table: Path, *more: str) -> list[str]:
    columns = [
        word for name in ("id=id", "text=text", "emotion=label") for word in ("--column", name)
    ]
    out = str(table.parent / "out")
    return [str(table), out, "--name", "mine", *columns, "--split-column", "set", *more]


@pytest.mark.parametrize(
    ("labels", "warning"),
    [
        (["happy"] * 9 + ["Happy"] * 6, "'happy' (9 rows), 'Happy' (6 rows) differ in case"),
        (["sad", "sad."] * 6, "prepare with --label-map sad.=sad"),
        (["sad", "s a d"] * 6, "'sad' (6 rows), 's a d' (6 rows) differ in case"),
        (["sad", "nan"] * 6, "'nan' (6 rows) is a class of its own; if it means that the label is"),
        (["sad", "None"] * 6, "prepare with --missing None"),
        (["sad", "n/a"] * 6, "prepare with --missing 'n/a'"),
        (["sad", "?"] * 6, "prepare with --missing '?'"),
        (["sad", "0", "2"] * 6, "'0' (6 rows), '2' (6 rows) beside 'sad' (6 rows): numbers"),
        (["sad"] * 6, ONE_CLASS),
        (["sad"] * 6 + ["glad"] * 4, "fewer than 5 rows in train: 'glad' (4 rows)"),
    ],
)
def test_odd_labels_are_warned_of_and_kept(labels: list[str], warning: str) -> None:
    counts = {"train": {label: labels.count(label) for label in dict.fromkeys(labels)}}
    (found,) = check_counts("emotion", counts)
    assert found.startswith("emotion: ")
    assert warning in found


@pytest.mark.parametrize(
    "labels", [["glad", "sad"], ["1", "10", "2.5"], ["no_agreement", "other"], ["-1", "1"]]
)
def test_other_labels_are_not_warned_of(labels: list[str]) -> None:
    assert check_counts("emotion", {"train": dict.fromkeys(labels, 9)}, labels) == []


def test_classes_that_splits_lack() -> None:
    counts = {"train": {"sad": 9, "glad": 9}, "test": {"sad": 1, "fear": 2}, "valid": {"glad": 3}}
    assert check_counts("emotion", counts, ("sad", "glad", "fear", "joy")) == [
        f"emotion: {UNLEARNED}: 'fear' (2 rows); drop it there, or draw the splits anew",
        "emotion: in train, and not in test, where its recall is undefined: 'glad' (9 rows)",
        "emotion: in train, and not in valid, where its recall is undefined: 'sad' (9 rows)",
        "emotion: in the label set, and in no row: 'joy'",
    ]
    assert check_counts("emotion", {"train": {"sad": 9}, "test": {"sad": 3, "glad": 2}})[0] == (
        "emotion: 'sad' (9 rows) is the only class in train: there is nothing to classify, and a "
        "training refuses it"
    )
    assert check_counts("emotion", {"train": {}, "test": {}}, ("sad",)) == []
    assert check_counts("emotion", {"test": {"sad": 9, "glad": 1}}) == [], "nothing is trained on"


def test_numbers_are_sorted_by_size() -> None:
    assert sort_labels(["10", "9", "-2", "2.5"]) == ["-2", "2.5", "9", "10"]
    assert sort_labels(["10", "9", "b"]) == ["10", "9", "b"]


def test_a_table_of_numbers_has_them_in_order(tmp_path: Path) -> None:
    labels = [("train", label) for label in ("10", "9", "2", "10")]
    assert prepare(words_for(write_table(tmp_path / "t.csv", labels))) == 0
    assert read_corpus(tmp_path / "out").labels["emotion"] == ("2", "9", "10")


def test_every_command_that_shows_a_data_dir_warns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = [("train", label) for label in ("sad", "Sad", "glad") for _ in range(6)]
    table = write_table(tmp_path / "t.csv", labels)
    out = str(tmp_path / "out")
    for command, words in (
        (prepare, [*words_for(table), "--label-map", "Sad=Sad"]),
        (summarize, [out]),
        (inspect, [out]),
        (validate, [out]),
    ):
        assert command(words) == 0, command.__module__
        said = capsys.readouterr().out
        assert "warning: emotion: 'sad' (6 rows), 'Sad' (6 rows) differ in case" in said
    assert len({row.emotion for row in read_manifest(tmp_path / "out" / "train.tsv")}) == 3


@pytest.mark.parametrize(
    ("label", "character"),
    [("hap\u200bpy", "U+200B ZERO WIDTH SPACE"), ("happy\u00a0", "U+00A0 NO-BREAK SPACE")],
)
def test_a_label_with_what_nobody_sees_is_refused_until_it_is_mapped(
    label: str, character: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = [("train", "sad"), ("train", "happy"), ("train", label)]
    table = write_table(tmp_path / "t.csv", labels)
    assert prepare(words_for(table)) == 1
    said = capsys.readouterr().err
    assert f"row 4: emotion {label!a} holds {character}" in said
    assert f"--label-map ${ascii(label)[:-1]}=NAME'" in said
    assert prepare(words_for(table, "--label-map", f"{label}=happy")) == 0
    assert read_corpus(tmp_path / "out").labels["emotion"] == ("happy", "sad")


def test_a_hidden_character_in_a_manifest_is_a_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_table(tmp_path / "t.csv", [("train", "sad"), ("train", "happy")])
    assert prepare(words_for(table)) == 0
    place = tmp_path / "out" / "train.tsv"
    place.write_text(place.read_text().replace("happy", "hap\u200bpy"), encoding="utf-8")
    assert validate([str(tmp_path / "out")]) == 1
    assert "row 3: emotion 'hap\\u200bpy' holds U+200B ZERO WIDTH SPACE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "label"), [("--label-map", "exited=happy"), ("--drop-label", "exited")]
)
def test_an_option_that_names_no_label_is_refused(
    option: str, label: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_table(tmp_path / "t.csv", [("train", "excited"), ("train", "sad")])
    assert prepare(words_for(table, option, label)) == 2
    assert (
        f"{option} {label}: no row has the emotion 'exited'; there are 'excited', 'sad'"
        in capsys.readouterr().err
    )


def test_spaces_around_labels_are_counted(tmp_path: Path) -> None:
    labels = [("train", "sad"), ("train", " sad"), ("train", "glad ")]
    assert prepare(words_for(write_table(tmp_path / "t.csv", labels))) == 0
    corpus = read_corpus(tmp_path / "out")
    assert corpus.labels["emotion"] == ("glad", "sad")
    assert "2 cells of emotion had spaces around the label, taken off" in corpus.notes


def fold_rows() -> list[Utterance]:
    """Four sessions of four rows; only the first has fear."""
    return [
        Utterance(
            f"s{session}_{n}",
            text="words",
            session=f"s{session}",
            speaker=f"{session}{n % 2}",
            emotion="fear" if session == 1 and n == 3 else ("sad", "glad")[n % 2],
        )
        for session in (1, 2, 3, 4)
        for n in range(4)
    ]


def test_classes_that_sets_of_folds_lack() -> None:
    rows = fold_rows()
    parts = {f"{s}": [row.id for row in rows if row.session == f"s{s}"] for s in (1, 2, 3, 4)}
    folds = {
        "1": {"train": parts["3"] + parts["4"], "valid": parts["2"], "test": parts["1"]},
        "2": {"train": parts["1"] + parts["4"], "valid": parts["3"], "test": parts["2"]},
    }
    assert check_folds(folds, rows) == [
        "emotion: 'fear' (1 row) is not in train of fold 1, where no model can learn it",
        "emotion: 'fear' (1 row) is not in valid of fold 1, 2",
        "emotion: 'fear' (1 row) is not in test of fold 2",
    ]


def test_folds_are_warned_of_when_they_are_made_and_shown(
    write_data_dir: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_data_dir({"all": fold_rows()}, emotion=("sad", "glad", "fear"))
    assert make_folds([str(data), "--protocol", "leave_one_session_out"]) == 0
    warning = "'fear' (1 row) is not in train of fold"
    assert f"warning: emotion: {warning}" in capsys.readouterr().out
    assert inspect([str(data)]) == 0
    assert f"warning: folds leave_one_session_out: emotion: {warning}" in capsys.readouterr().out


def test_a_class_that_the_file_declares_may_be_mapped_though_no_row_has_it(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    names = {"info": {"features": {"emotion": {"names": ["sad", "glad", "joyful"]}}}}
    content = pyarrow.table({"id": ["a", "b"], "text": ["x", "y"], "emotion": [0, 1]})
    content = content.replace_schema_metadata({b"huggingface": json.dumps(names).encode()})
    table = tmp_path / "t.parquet"
    pytest.importorskip("pyarrow.parquet").write_table(content, table)
    words = [f"train={table}", str(tmp_path / "out"), "--name", "mine"]
    assert prepare_published([*words, "--label-map", "joyful=glad"]) == 0
    assert read_corpus(tmp_path / "out").labels["emotion"] == ("sad", "glad")
    assert prepare_published([*words, "--label-map", "happy=glad"]) == 2


def test_joiners_that_a_spelling_needs_are_kept() -> None:
    persian, family = "\u0628\u06cc\u200c\u062a\u0641", "\U0001f468\u200d\U0001f467"
    assert find_label_fault("emotion", persian) is None
    assert find_label_fault("emotion", family) is None
    for label in ("hap\u200cpy", "\u0628\u06cc\u200c", "\u0628\u200b\u06cc"):
        assert find_label_fault("emotion", label) is not None
