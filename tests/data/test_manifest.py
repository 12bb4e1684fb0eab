"""From files to a split: which layout, which rows can be used, and what their truth is."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codes import raises

from data_prep.errors import ManifestError
from data_prep.schema import Utterance
from emo_fairseq.data.annotations import truth_array
from emo_fairseq.data.manifest import Split, check_data_dir, read_corpus_file, read_split
from emo_fairseq.data.usable_rows import select_rows
from emo_fairseq.targets import TARGETS

BOTH = ("text", "speech")


def split_of(*rows: Utterance, **tokens: list[np.ndarray]) -> Split:
    return Split("train", Path("train.tsv"), rows, tokens)


def test_a_manifest_is_read(write_data_dir: Callable[..., Path]) -> None:
    rows = [Utterance(id="a", text="yes", emotion="sad"), Utterance(id="b", audio="b.wav")]
    folder = write_data_dir({"train": rows}, emotion=["sad", "happy"])
    check_data_dir(folder)
    split = read_split(folder, folder, "train", BOTH)
    assert (split.name, split.file) == ("train", folder / "train.tsv")
    assert list(split.utterances) == rows
    assert split.tokens == {}
    assert split.present("text").tolist() == [True, False]
    assert split.present("speech").tolist() == [False, True]
    corpus = read_corpus_file(folder)
    assert corpus is not None
    assert corpus.labels["emotion"] == ("sad", "happy")


def test_the_seeds_layout_is_read(legacy_corpus: Path) -> None:
    check_data_dir(legacy_corpus)
    split = read_split(legacy_corpus, legacy_corpus, "valid", ["text"])
    assert split.file == legacy_corpus / "label_file_valid.csv"
    assert len(split.utterances) == len(split.tokens["text"]) == 10
    assert split.present("text").all()
    assert not split.present("speech").any()
    assert read_corpus_file(legacy_corpus) is None


def test_an_absent_split_is_named_with_those_that_are_there(
    write_data_dir: Callable[..., Path],
) -> None:
    folder = write_data_dir({"train": [Utterance(id="a")], "dev": [Utterance(id="b")]})
    with raises("split-missing") as error:
        read_split(folder, folder, "valid", BOTH)
    assert "dev, train" in str(error.value)


def test_a_row_that_breaks_the_contract_is_named(write_data_dir: Callable[..., Path]) -> None:
    folder = write_data_dir({"train": [Utterance(id="a", valence=0.5)]})
    file = folder / "train.tsv"
    file.write_text(file.read_text().replace("0.5", "nan"))
    with pytest.raises(ManifestError, match=r"train\.tsv: row 2: valence is 'nan'; write a number"):
        read_split(folder, folder, "train", BOTH)


def test_what_is_no_data_dir_is_refused(tmp_path: Path) -> None:
    with raises("data-dir-missing"):
        check_data_dir(tmp_path / "absent")
    with raises("data-dir-empty"):
        check_data_dir(tmp_path)
    file = tmp_path / "train.tsv"
    file.write_text("")
    with raises("data-dir-missing"):
        check_data_dir(file)


def present(split: Split, *modalities: str) -> dict[str, np.ndarray]:
    return {modality: split.present(modality) for modality in modalities}


def test_rows_without_truth_or_input_are_left_out_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    split = split_of(
        Utterance(id="full", text="a", audio="a.wav", emotion="sad"),
        Utterance(id="text", text="b", emotion="sad"),
        Utterance(id="speech", audio="c.wav", emotion="sad"),
        Utterance(id="silent", emotion="sad"),
        *(Utterance(id=f"unlabeled{n}", text="e", audio="e.wav") for n in range(7)),
        Utterance(id="nothing"),
    )
    with caplog.at_level(logging.WARNING):
        rows = select_rows(split, TARGETS["emotion"], present(split, *BOTH))
    assert rows.tolist() == [0, 1, 2]
    unlabeled, silent = (record.getMessage() for record in caplog.records)
    assert unlabeled.startswith("train.tsv: 8 rows left out, no emotion: unlabeled0, ")
    assert unlabeled.endswith("unlabeled2 and 5 more")
    assert silent == "train.tsv: 1 rows left out, neither of text, speech: silent"


@pytest.mark.parametrize(("modality", "kept"), [("text", [0, 1]), ("speech", [0, 2])])
def test_one_modality_alone_leaves_out_more(modality: str, kept: list[int]) -> None:
    split = split_of(
        Utterance(id="full", text="a", audio="a.wav", emotion="sad"),
        Utterance(id="text", text="b", emotion="sad"),
        Utterance(id="speech", audio="c.wav", emotion="sad"),
    )
    assert select_rows(split, TARGETS["emotion"], present(split, modality)).tolist() == kept


def test_one_measured_axis_is_truth_enough() -> None:
    split = split_of(Utterance(id="a", text="a", arousal=0.25), Utterance(id="b", text="b"))
    assert select_rows(split, TARGETS["vad"], present(split, "text")).tolist() == [0]


@pytest.mark.parametrize("rows", [[], [Utterance(id="a", text="a")], [Utterance(id="a")]])
def test_a_split_without_a_usable_row_is_refused(rows: Any) -> None:
    with raises("rows-unusable"):
        select_rows(split_of(*rows), TARGETS["sentiment"], present(split_of(*rows), "text"))


def test_labels_become_their_position() -> None:
    split = split_of(*(Utterance(id=name, emotion=name or None) for name in ("sad", "happy", "")))
    truth = truth_array(split, TARGETS["emotion"], ["happy", "sad"])
    assert truth.dtype == np.int64
    assert truth.tolist() == [1, 0, -1]


def test_an_unknown_label_is_refused() -> None:
    split = split_of(Utterance(id="a", emotion="sad"), Utterance(id="b", emotion="bored"))
    with raises("label-unknown") as error:
        truth_array(split, TARGETS["emotion"], ["happy", "sad"])
    assert str(error.value).startswith("train.tsv: row 3: b: emotion 'bored' ")


def test_numbers_keep_their_axis_and_missing_ones_are_nan() -> None:
    split = split_of(
        Utterance(id="a", valence=0.1, arousal=0.2, dominance=0.3), Utterance(id="b", arousal=0.5)
    )
    truth = truth_array(split, TARGETS["vad"], [])
    assert truth.dtype == np.float64
    np.testing.assert_array_equal(truth, [[0.1, 0.2, 0.3], [np.nan, 0.5, np.nan]])
