"""What a path is: a data dir, a corpus, a table; and the words that prepare it."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from codes import raises

from data_prep.corpora.mmsa import COLUMNS as MMSA_COLUMNS
from data_prep.corpora.registry import CORPORA
from data_prep.schema import Corpus, Utterance, write_corpus
from data_prep.sources import add_preparation_options, find_source

REAL = Path(os.environ.get("EMO_FAIRSEQ_DATA", "absent"))
# corpus -> files of its official layout, empty ones.
LAYOUTS = {
    "emobank": ["emobank.csv"],
    "emobox": ["label_map.json", "fold_1/iemocap_train_fold_1.jsonl"],
    "emorynlp": ["emorynlp_train_final.csv"],
    "goemotions": ["train.tsv", "emotions.txt"],
    "iemocap": ["Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"],
    "meld": ["train_sent_emo.csv", "dev_sent_emo.csv", "test_sent_emo.csv"],
    "msp_improv": ["Evalution.txt"],
    "msp_podcast": ["Labels/labels_consensus.csv"],
    "ravdess": ["Actor_01/03-01-01-01-01-01-01.wav"],
}


def write_layout(folder: Path, names: list[str]) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return folder


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_preparation_options(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize("corpus", LAYOUTS)
def test_a_corpus_is_recognized_by_its_official_layout(corpus: str, tmp_path: Path) -> None:
    source = find_source(write_layout(tmp_path / "x", LAYOUTS[corpus]))
    assert (source.kind, source.name) == ("corpus", corpus)
    words = source.prepare_words(Path("out"), parse())
    assert words == [corpus, str(tmp_path / "x"), "out"]


def test_every_corpus_that_is_read_is_recognized() -> None:
    assert {*LAYOUTS, "cmu_mosi", "cmu_mosei", "toy"} == set(CORPORA)


def test_a_part_of_a_corpus_of_two_layouts_names_both(tmp_path: Path) -> None:
    rows = [",".join(MMSA_COLUMNS), "v,1,hi,0.5,Positive,train"]
    (tmp_path / "label.csv").write_text("\n".join(rows))
    with raises("source-ambiguous") as error:
        find_source(tmp_path)
    assert "data_prep.cmu_mosi " in str(error.value)
    assert "data_prep.cmu_mosei " in str(error.value)
    whole = [rows[0], *(f"v,{n},hi,0.5,Positive,train" for n in range(2_199))]
    (tmp_path / "label.csv").write_text("\n".join(whole))
    assert find_source(tmp_path).name == "cmu_mosi"


def test_a_label_csv_with_other_columns_is_a_table(tmp_path: Path) -> None:
    (tmp_path / "label.csv").write_text("file,emotion\na.wav,sad\n")
    source = find_source(tmp_path)
    assert (source.kind, source.name) == ("table", tmp_path.name)
    assert source.path == tmp_path / "label.csv"


def test_data_dirs_need_no_preparation(tmp_path: Path) -> None:
    write_corpus(tmp_path / "new", Corpus("new"), {"train": [Utterance("a", text="hi")]})
    legacy = write_layout(tmp_path / "old", ["train_size.tsv"])
    for folder, kind in ((tmp_path / "new", "data_dir"), (legacy, "legacy")):
        source = find_source(folder)
        assert (source.kind, source.is_prepared) == (kind, True)
        assert source.prepare_words(Path("out"), parse("--data-raw", "x")) == []
        with raises("option-unused") as error:
            source.prepare_words(Path("out"), parse("--column", "text=words"))
        assert "--column" in str(error.value)


def test_options_of_tables_are_passed_on(tmp_path: Path) -> None:
    table = tmp_path / "my labels.csv"
    table.write_text("id,text\na,hi\n")
    words = ["--column", "text=words", "--column", "id=utt", "--vad-scale", "1", "5"]
    words += ["--label-order", "sad,glad", "--no-quotes", "--split-seed", "3"]
    source = find_source(table)
    assert (source.kind, source.name) == ("table", "my_labels")
    prepared = source.prepare_words(Path("out"), parse(*words))
    assert prepared[:3] == ["table", str(table), "out"]
    assert parse(*prepared[3:]) == parse(*words)


def test_options_of_tables_have_no_effect_on_a_corpus(tmp_path: Path) -> None:
    source = find_source(write_layout(tmp_path, LAYOUTS["meld"]))
    with raises("option-unused"):
        source.prepare_words(Path("out"), parse("--split-by", "speaker"))


def test_a_parser_keeps_an_option_that_it_has() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-raw", default="mine")
    add_preparation_options(parser)
    assert parser.parse_args([]).data_raw == "mine"


def test_a_name_of_the_hub_needs_its_prefix() -> None:
    source = find_source("hf:org/name")
    assert (source.kind, source.name) == ("hf_dataset", "name")
    with raises("source-missing") as error:
        find_source("org/name")
    assert "hf:org/name" in str(error.value)


@pytest.mark.parametrize("name", ["clip.wav", "corpus.zip", "notes.pdf", "empty/", "gone"])
def test_what_is_nothing_is_described(
    name: str, tmp_path: Path, write_sound: Callable[..., Path]
) -> None:
    path = tmp_path / name
    if name.endswith("/"):
        path.mkdir()
    elif name != "gone":
        path.write_text("x")
    with raises("source-missing" if name == "gone" else "source-unknown") as error:
        find_source(path)
    assert str(path) in str(error.value)


def test_real_corpora() -> None:
    names = ("meld", "ravdess", "emobank")
    if not all((REAL / name).is_dir() for name in names):
        pytest.skip("needs EMO_FAIRSEQ_DATA, a folder with meld/, ravdess/ and emobank/")
    assert [find_source(REAL / name).name for name in names] == list(names)
