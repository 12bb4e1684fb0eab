"""What a path is: a data dir, a corpus, a table; and the words that prepare it."""

import argparse
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from codes import raises

from data_prep.commands.table import main as table_main
from data_prep.commands.validate import validate
from data_prep.corpora.mmsa import COLUMNS as MMSA_COLUMNS
from data_prep.corpora.registry import CORPORA
from data_prep.schema import Corpus, Utterance, read_corpus, read_manifest, write_corpus
from data_prep.sources import find_source
from data_prep.tables.options import add_preparation_options

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
    "crema_d": ["processedResults/tabulatedVotes.csv", "AudioWAV/1001_DFA_ANG_XX.wav"],
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


@pytest.mark.parametrize(
    ("corpus", "names"),
    [
        ("emobox", ["label_dict.json", "fold_1/emovo_train_fold_1.jsonl"]),
        ("msp_podcast", ["Labels/labels_concensus.csv"]),
    ],
)
def test_a_corpus_is_recognized_by_other_names_of_its_files(
    corpus: str, names: list[str], tmp_path: Path
) -> None:
    assert find_source(write_layout(tmp_path, names)).name == corpus


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


@pytest.mark.parametrize("corpus", ["iemocap", "ravdess", "crema_d", "meld"])
def test_a_corpus_one_folder_deeper_or_higher_is_named(corpus: str, tmp_path: Path) -> None:
    folder = write_layout(tmp_path / "download" / "x", LAYOUTS[corpus])
    with raises("source-unknown") as error:
        find_source(tmp_path / "download")
    assert f"download: holds the corpus {corpus}; give {folder}" in str(error.value)
    part = folder / "Session1"
    part.mkdir(exist_ok=True)
    with raises("source-unknown") as error:
        find_source(part)
    assert f"Session1: is in the corpus {corpus}; give {folder}" in str(error.value)


def test_a_folder_of_corpora_has_no_classes(
    tmp_path: Path, write_sound: Callable[..., Path]
) -> None:
    for folder in ("CREMA-D/AudioWAV", "other/clips"):
        (tmp_path / folder).mkdir(parents=True)
        write_sound(tmp_path / folder / "1001_DFA_ANG_XX.wav")
    assert find_source(tmp_path).kind == "class_folders"
    write_layout(tmp_path / "CREMA-D", LAYOUTS["crema_d"][:1])
    with raises("source-unknown") as error:
        find_source(tmp_path)
    assert "holds the corpus crema_d" in str(error.value)


def test_a_folder_that_may_not_be_read_is_no_corpus(
    tmp_path: Path, write_sound: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as lost+found beside the classes, on a disk of recordings."""
    for name in ("happy", "lost+found", "sad"):
        (tmp_path / name).mkdir()
    for name in ("happy", "sad"):
        write_sound(tmp_path / name / "1.wav")
    is_file = Path.is_file

    def refuse(path: Path) -> bool:
        if path.parent.name == "lost+found":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refuse)
    assert find_source(tmp_path).kind == "class_folders"


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
    table.write_text("utt,words,V\na,hi,2\n")
    words = ["--column", "text=words", "--column", "id=utt", "--column", "valence=V"]
    words += ["--vad-scale", "1", "5", "--no-quotes", "--split-seed", "3"]
    source = find_source(table)
    assert (source.kind, source.name) == ("table", "my_labels")
    prepared = source.prepare_words(Path("out"), parse(*words))
    assert prepared[:3] == ["table", str(table), "out"]
    assert parse(*prepared[3:]) == parse(*words, "--name", "my_labels")


def test_what_is_missing_completes_the_command_of_the_user(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("file,emotion\na.wav,sad\n")
    user = ["emotion-recognize", "train", "labels.csv", "--", "--lr", "1"]
    with raises("data-raw-missing") as error:
        find_source(table).prepare_words(Path("out"), parse(), user)
    command = "emotion-recognize train labels.csv --data-raw FOLDER -- --lr 1"
    assert str(error.value).endswith(f"in capitals: {command}")
    with raises("data-raw-missing") as error:
        find_source(table).prepare_words(Path("out"), parse())
    assert f"python -m data_prep.table {table} out" in str(error.value)


def test_folders_of_classes(tmp_path: Path, write_sound: Callable[..., Path]) -> None:
    for label in ("angry", "happy"):
        for number in range(4):
            write_sound(tmp_path / "flat" / label / f"{number}.wav")
            for split in ("train", "dev", "test"):
                write_sound(tmp_path / "split" / split / label / f"{number}.wav")
    for name in ("flat", "split"):
        source = find_source(tmp_path / name)
        assert (source.kind, source.name) == ("class_folders", name)
        words = source.prepare_words(tmp_path / f"{name}_out", parse())
        assert table_main(words[1:]) == 0
    flat, split = read_corpus(tmp_path / "flat_out"), read_corpus(tmp_path / "split_out")
    assert flat.labels == split.labels == {"emotion": ("angry", "happy")}
    assert sum(counts["rows"] for counts in flat.splits.values()) == 8
    assert {name: counts["rows"] for name, counts in split.splits.items()} == {
        "train": 8,
        "valid": 8,
        "test": 8,
    }
    assert validate(tmp_path / "split_out") == []


def test_folders_beside_those_of_splits(tmp_path: Path, write_sound: Callable[..., Path]) -> None:
    """Without recordings they are no classes, and the splits are none; with them they are named."""
    for split in ("train", "test"):
        for number, label in enumerate(("angry", "happy")):
            write_sound(tmp_path / "a" / split / label / f"{number}.wav")
    (tmp_path / "a" / "__MACOSX" / "train").mkdir(parents=True)
    (tmp_path / "a" / "__MACOSX" / "train" / "._0.wav").write_bytes(b"")
    words = find_source(tmp_path / "a").prepare_words(tmp_path / "out", parse())
    assert table_main(words[1:]) == 0
    assert read_corpus(tmp_path / "out").labels == {"emotion": ("angry", "happy")}
    write_sound(tmp_path / "a" / "extra" / "angry" / "0.wav")
    with raises("splits-ambiguous") as error:
        find_source(tmp_path / "a").prepare_words(Path("out"), parse())
    assert "and extra, which is none" in str(error.value)


@pytest.mark.parametrize(
    ("further", "problem"),
    [("dev", "dev and valid, which are one split"), ("other", "and other, which is none")],
)
def test_metadata_of_no_split_or_of_one_twice(
    further: str, problem: str, tmp_path: Path, write_sound: Callable[..., Path]
) -> None:
    for folder in ("train", "valid", further):
        write_sound(tmp_path / folder / "0.wav")
        (tmp_path / folder / "metadata.csv").write_text("file_name,emotion\n0.wav,sad\n")
    with raises("splits-ambiguous") as error:
        find_source(tmp_path).prepare_words(Path("out"), parse())
    assert problem in str(error.value)


@pytest.mark.parametrize("further", ["metadata.jsonl", "train/metadata.csv"])
def test_further_metadata_are_not_left_out(
    further: str, tmp_path: Path, write_sound: Callable[..., Path]
) -> None:
    write_sound(tmp_path / "train" / "0.wav")
    for file in ("metadata.csv", further):
        (tmp_path / file).write_text("file_name,emotion\ntrain/0.wav,sad\n")
    with raises("source-ambiguous") as error:
        find_source(tmp_path)
    assert f"holds metadata.csv and {further}" in str(error.value)


def test_numbered_folders_are_no_classes(tmp_path: Path, write_sound: Callable[..., Path]) -> None:
    for number in (1, 2, 3):
        write_sound(tmp_path / f"speaker{number}" / "a.wav")
    source = find_source(tmp_path)
    with raises("classes-numbered"):
        source.prepare_words(Path("out"), parse())


def test_an_audio_folder_with_metadata(tmp_path: Path, write_sound: Callable[..., Path]) -> None:
    for split in ("train", "validation", "test"):
        rows = ["file_name,emotion"]
        for number in range(4):
            write_sound(tmp_path / "af" / split / "clips" / f"{number}.wav")
            rows.append(f"clips/{number}.wav,{('sad', 'glad')[number % 2]}")
        (tmp_path / "af" / split / "metadata.csv").write_text("\n".join(rows))
    source = find_source(tmp_path / "af")
    assert (source.kind, source.name) == ("audio_folder", "af")
    assert table_main(source.prepare_words(tmp_path / "out", parse())[1:]) == 0
    corpus = read_corpus(tmp_path / "out")
    assert {name: counts["rows"] for name, counts in corpus.splits.items()} == {
        "train": 4,
        "valid": 4,
        "test": 4,
    }
    assert read_manifest(tmp_path / "out" / "valid.tsv")[0].audio == "validation/clips/0.wav"


def test_a_table_for_each_split(tmp_path: Path) -> None:
    for split in ("train", "dev", "test"):
        rows = [f"words of {split} {number};{('sad', 'glad')[number % 2]}" for number in range(4)]
        (tmp_path / f"{split}.csv").write_text("\n".join(["Text;Emotion", *rows]))
    source = find_source(tmp_path)
    assert (source.kind, source.command) == ("split_tables", "table")
    words = source.prepare_words(tmp_path / "out", parse())
    assert words[1] == f"train={tmp_path / 'train.csv'}"
    assert table_main(words[1:]) == 0
    assert set(read_corpus(tmp_path / "out").splits) == {"train", "valid", "test"}


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


def test_a_folder_of_several_tables_lists_them_once(tmp_path):
    for name in "abcde":
        (tmp_path / f"{name}.csv").write_text("text,emotion\nhi,sad\n")
    with raises("source-ambiguous") as error:
        find_source(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: holds 5 tables (a.csv, b.csv, c.csv and 2 more); name one of them"
    )
