"""The seed's T_data layout: joined by id whatever the order, counted, and refused where broken."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codes import raises

from data_prep.corpora import meld
from emo_fairseq.data.legacy import (
    IEMOCAP,
    MELD,
    MELD_SENTIMENT,
    find_label_set,
    label_names,
    read_split,
    split_names,
)

BOTH = ("text", "speech")
Write = Callable[..., Path]


def labels(*ids: str, code: str = "neu") -> dict[str, str]:
    return dict.fromkeys(ids, code)


def ids_of(folder: Path, modalities: Any = BOTH) -> list[str]:
    return [row.id for row in read_split(folder, folder, "train", modalities)[0]]


def write_tokens(folder: Path, kind: str, name: str, text: str) -> None:
    (folder / "train" / kind / f"{name}.txt").write_text(text)


def test_rows_are_paired_by_id_in_whatever_order_the_files_are(write_legacy: Write) -> None:
    folder = write_legacy(
        "train",
        {"c": "ang", "a": "neu", "b": "sad"},
        text=["a", "b", "c"],
        audio=["b", "c", "a"],
        size=["c", "b", "a"],
    )
    for number, name in enumerate("abc"):
        write_tokens(folder, "text", name, f"0\t{100 + number}\t2")
        write_tokens(folder, "audio_token", name, f"0\t{200 + number}\t2")
    utterances, tokens = read_split(folder, folder, "train", BOTH)
    assert [(row.id, row.emotion) for row in utterances] == [
        ("a", "neutral"),
        ("b", "sad"),
        ("c", "angry"),
    ]
    assert [ids.tolist() for ids in tokens["text"]] == [[0, 100, 2], [0, 101, 2], [0, 102, 2]]
    assert [ids.tolist() for ids in tokens["speech"]] == [[0, 200, 2], [0, 201, 2], [0, 202, 2]]


def test_lists_of_differing_lengths_are_intersected_and_the_rest_is_named(
    write_legacy: Write, caplog: pytest.LogCaptureFixture
) -> None:
    """As in the published IEMOCAP, whose lists hold 3,228 audio and 4,258 text rows."""
    everything = [f"utt{number}" for number in range(12)]
    audio = everything[:3]
    folder = write_legacy(
        "train", labels(*everything), text=everything[::-1], audio=audio, size=everything[1:]
    )
    with caplog.at_level(logging.WARNING):
        assert ids_of(folder) == ["utt2", "utt1"]
    by_file = {record.getMessage().split(":")[0]: record.getMessage() for record in caplog.records}
    assert set(by_file) == {"train_t.tsv", "train_a.tsv", "label_file_train.csv", "train_size.tsv"}
    left_out = "not in all of the other files and are left out:"
    assert by_file["train_a.tsv"] == f"train_a.tsv: 1 of 3 rows are {left_out} utt0"
    assert by_file["train_t.tsv"].startswith("train_t.tsv: 10 of 12 rows")
    assert by_file["train_t.tsv"].endswith(f"{left_out} utt11, utt10, utt9 and 7 more")
    assert by_file["train_size.tsv"].startswith("train_size.tsv: 9 of 11 rows")


def test_nothing_is_said_where_nothing_is_left_out(
    write_legacy: Write, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_legacy("train", labels("a", "b"))
    with caplog.at_level(logging.WARNING):
        ids_of(folder)
    assert not caplog.records


def test_labels_may_hold_more_rows(write_legacy: Write) -> None:
    folder = write_legacy(
        "train", labels("a", "b", "more"), text=["a", "b"], audio=["a", "b"], size=["b", "a"]
    )
    assert ids_of(folder) == ["a", "b"]


@pytest.mark.parametrize("header", [True, False])
def test_the_size_file_has_a_header_or_none(write_legacy: Write, header: bool) -> None:
    folder = write_legacy("train", labels("a", "b", "c"), size=["b", "c"], size_header=header)
    assert ids_of(folder) == ["b", "c"]


def test_token_files_of_other_lengths_than_the_size_file_names_are_said(
    write_legacy: Write, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_legacy("train", labels("a", "b", "c"))
    file = folder / "train" / "audio_token" / "b.txt"
    file.write_text("\t".join(file.read_text().split()[:3]))
    with caplog.at_level(logging.WARNING):
        ids_of(folder)
    message = "1 of 3 token files of speech have another number of ids than it names, so they were"
    assert message in caplog.text
    assert caplog.text.rstrip().endswith("another run: b")


def test_the_size_file_may_be_absent(write_legacy: Write) -> None:
    assert ids_of(write_legacy("train", labels("a", "b"), size=None)) == ["a", "b"]


def test_excited_counts_as_happy_and_other_emotions_are_counted(
    write_legacy: Write, caplog: pytest.LogCaptureFixture
) -> None:
    rows = {"a": "neu", "b": "exc", "c": "hap", "d": "fru", "e": "sur", "f": "fru", "g": "ang"}
    folder = write_legacy("train", rows)
    with caplog.at_level(logging.WARNING):
        utterances, tokens = read_split(folder, folder, "train", BOTH)
    assert [(row.id, row.emotion) for row in utterances] == [
        ("a", "neutral"),
        ("b", "happy"),
        ("c", "happy"),
        ("g", "angry"),
    ]
    assert len(tokens["text"]) == len(tokens["speech"]) == 4
    (record,) = caplog.records
    assert "3 rows carry a label outside neu, sad, ang, hap, exc" in record.getMessage()
    assert record.getMessage().endswith("left out: fru 2, sur 1")


def test_class_ids(write_legacy: Write) -> None:
    iemocap = write_legacy("train", {"a": "hap", "b": "fru"})
    assert find_label_set(iemocap) is IEMOCAP
    assert label_names(iemocap, "emotion") == ["neutral", "sad", "angry", "happy"]
    assert MELD.labels == meld.EMOTIONS
    assert MELD_SENTIMENT.labels == meld.SENTIMENTS


def test_labels_of_meld(write_legacy: Write, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_legacy("test", {"x": "joy"})
    rows = {"a": "neutral", "b": "joy", "c": "surprise", "d": "boredom"}
    with caplog.at_level(logging.WARNING):
        utterances, _ = read_split(write_legacy("train", rows), folder, "train", BOTH)
    assert [row.emotion for row in utterances] == ["neutral", "joy", "surprise"]
    assert caplog.messages[-1].endswith("disgust, surprise and are left out: boredom 1")
    assert label_names(folder, "emotion") == list(meld.EMOTIONS)
    with raises("labels-missing") as error:
        label_names(folder, "sentiment")
    assert "hold emotions; write each sentiment as one of neutral, positive" in str(error.value)


def test_sentiments_of_meld(write_legacy: Write) -> None:
    folder = write_legacy("train", {"a": "neutral", "b": "negative"})
    utterances, _ = read_split(folder, folder, "train", BOTH)
    assert [(row.emotion, row.sentiment) for row in utterances] == [
        (None, "neutral"),
        (None, "negative"),
    ]
    assert label_names(folder, "sentiment") == list(meld.SENTIMENTS)


def test_a_split_of_one_shared_word_is_read_as_the_others_are(write_legacy: Write) -> None:
    write_legacy("train", {"a": "negative", "b": "neutral"})
    folder = write_legacy("test", {"c": "neutral"})
    utterances, _ = read_split(folder, folder, "test", BOTH)
    assert [(row.emotion, row.sentiment) for row in utterances] == [(None, "neutral")]


@pytest.mark.parametrize("other", ["neu", "positive"])
def test_labels_of_two_sets_are_refused(write_legacy: Write, other: str) -> None:
    write_legacy("train", {"a": "joy", "b": "neutral"})
    folder = write_legacy("test", {"c": other})
    with raises("label-sets-mixed") as error:
        ids_of(folder)
    assert "emotions of MELD (joy)" in str(error.value)


def test_class_numbers_are_refused(write_legacy: Write) -> None:
    """Which emotion a number means is nowhere recorded."""
    folder = write_legacy("train", {"a": "3", "b": "0"})
    with raises("labels-missing") as error:
        label_names(folder, "emotion")
    assert "hold numbers, which name no label; write each emotion as one of neu," in str(
        error.value
    )


def test_sentiment_scores(write_legacy: Write) -> None:
    rows = {"a": "-1.5", "b": "0", "c": "3.0"}
    folder = write_legacy("train", rows, label_header="FileName,sentiment_score")
    utterances, _ = read_split(folder, folder, "train", BOTH)
    assert [(row.emotion, row.sentiment_score) for row in utterances] == [
        (None, -1.5),
        (None, 0.0),
        (None, 3.0),
    ]


@pytest.mark.parametrize("score", ["nan", "inf", "-NaN"])
def test_a_score_that_is_no_number_is_refused(write_legacy: Write, score: str) -> None:
    rows = {"a": "-1.5", "b": score}
    folder = write_legacy("train", rows, label_header="FileName,sentiment_score")
    with raises("number-not-finite") as error:
        ids_of(folder)
    assert "label_file_train.csv: row 3: " in str(error.value)


def test_one_modality_needs_only_its_own_list(write_legacy: Write) -> None:
    folder = write_legacy("train", labels("a", "b"), audio=None)
    utterances, tokens = read_split(folder, folder, "train", ["text"])
    assert len(utterances) == 2
    assert set(tokens) == {"text"}
    with raises("list-missing") as error:
        ids_of(folder)
    assert "train_a.tsv" in str(error.value)


def test_names_in_lists_may_have_any_extension_or_a_second_column(write_legacy: Write) -> None:
    folder = write_legacy("train", labels("a", "b", "c"))
    (folder / "train_t.tsv").write_text("a.txt\t17\nb.pt\n\nc\n")
    assert ids_of(folder, ["text"]) == ["a", "b", "c"]


def test_tokens_lie_below_data_raw(write_legacy: Write, tmp_path: Path) -> None:
    folder = write_legacy("train", labels("a"))
    (folder / "train").rename(tmp_path / "train")
    _, tokens = read_split(folder, tmp_path, "train", BOTH)
    assert tokens["text"][0].dtype == np.int64
    with raises("tokens-missing") as error:
        ids_of(folder)
    assert str(Path("text", "a.txt")) in str(error.value)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "tokens-empty"),
        ("\n \t", "tokens-empty"),
        ("0\tword\t2", "tokens-invalid"),
        ("0\t1.5\t2", "tokens-invalid"),
        ("0\t-7\t2", "tokens-invalid"),
        ("0\t99999999999999999999\t2", "tokens-invalid"),
        ("\udc80\udcff", "tokens-invalid"),
    ],
)
def test_broken_token_files_are_named(write_legacy: Write, content: str, code: str) -> None:
    folder = write_legacy("train", labels("a", "b"))
    file = folder / "train" / "audio_token" / "b.txt"
    file.write_bytes(content.encode(errors="surrogateescape"))
    with raises(code) as error:
        ids_of(folder)
    assert str(error.value).startswith(f"{file}: ")


def test_a_doubled_row_of_a_list_is_refused(write_legacy: Write) -> None:
    folder = write_legacy("train", labels("a", "b"), text=["a", "b", "a"])
    with raises("id-duplicate") as error:
        ids_of(folder)
    assert "train_t.tsv: a is listed 2 times" in str(error.value)


@pytest.mark.parametrize(
    ("row", "code"), [("a,neu", "id-duplicate"), ("c", "row-malformed"), ("c,", "row-malformed")]
)
def test_broken_rows_of_labels_are_named(write_legacy: Write, row: str, code: str) -> None:
    folder = write_legacy("train", labels("a", "b"))
    file = folder / "label_file_train.csv"
    file.write_text(file.read_text() + row + "\n")
    with raises(code) as error:
        ids_of(folder)
    assert str(error.value).startswith(f"{file}: row 4: ")


def test_nothing_in_common_is_refused(write_legacy: Write) -> None:
    folder = write_legacy("train", labels("a"), text=["b"], audio=["a"])
    with raises("rows-unusable"):
        ids_of(folder)


def test_only_other_emotions_are_refused(write_legacy: Write) -> None:
    with raises("rows-unusable"):
        ids_of(write_legacy("train", labels("a", code="fru")))


def test_the_layout_is_told_by_its_label_file(write_legacy: Write, tmp_path: Path) -> None:
    folder = write_legacy("train", labels("a"))
    assert split_names(folder) == ["train"]
    assert split_names(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("name", ["label_file_train.csv", "train_t.tsv", "train_size.tsv"])
def test_a_row_that_is_not_utf_8_is_named(write_legacy: Write, name: str) -> None:
    folder = write_legacy("train", {"a": "neu", "b": "sad"}, size=["a", "b"])
    file = folder / name
    lines = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join([lines[0], b"\xff" + lines[1], *lines[2:]]))
    with raises("text-not-utf8") as error:
        read_split(folder, folder, "train", ["text"])
    assert str(error.value).startswith(f"{file}: row 2: ")
