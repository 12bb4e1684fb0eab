"""corpus.yaml keeps the folder that audio paths start from."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from codes import raises

from data_prep.commands.validate import main, validate
from data_prep.files.yaml_values import dump_yaml
from data_prep.manifest.audio_root import audio_root, to_record
from data_prep.manifest.corpus_card import write_card
from data_prep.schema import Corpus, Utterance, read_corpus, write_corpus

ROWS = {"train": [Utterance("a", audio="a.wav", n_samples=8_000)]}


@pytest.fixture
def data_dir(tmp_path: Path, write_sound: Callable[..., Path]) -> Path:
    """A data dir in data/, with its audio in raw/."""
    write_sound(tmp_path / "raw" / "a.wav", 8_000)
    write_corpus(tmp_path / "data", Corpus("c", data_raw=to_record(tmp_path / "raw")), ROWS)
    return tmp_path / "data"


def test_the_folder_is_recorded_as_an_absolute_path(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data_dir.parent)
    assert to_record("raw") == str(data_dir.parent / "raw") == read_corpus(data_dir).data_raw
    assert audio_root(data_dir) == data_dir.parent / "raw"
    assert validate(data_dir) == []


def test_what_is_given_is_preferred(data_dir: Path, tmp_path: Path) -> None:
    assert audio_root(data_dir, tmp_path / "elsewhere") == tmp_path / "elsewhere"


def test_a_relative_folder_starts_from_the_data_dir(data_dir: Path, tmp_path: Path) -> None:
    corpus = read_corpus(data_dir)
    corpus.data_raw = "../raw"
    write_card(data_dir, corpus)
    shutil.move(tmp_path / "raw", tmp_path / "project" / "raw")
    shutil.move(data_dir, tmp_path / "project" / "data")
    moved = tmp_path / "project" / "data"
    assert audio_root(moved).resolve() == tmp_path / "project" / "raw"
    assert validate(moved) == []


def test_without_the_key_it_is_the_data_dir(tmp_path: Path) -> None:
    write_corpus(tmp_path / "new", Corpus("c"), {"train": [Utterance("a", text="hi")]})
    assert "data_raw" not in (tmp_path / "new" / "corpus.yaml").read_text()
    assert audio_root(tmp_path / "new") == tmp_path / "new"
    assert audio_root(tmp_path) == tmp_path  # without corpus.yaml: the legacy layout


def test_a_moved_folder_is_one_sentence_with_both_paths(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "raw").rename(tmp_path / "moved")
    with raises("data-raw-moved") as error:
        audio_root(data_dir)
    for word in (str(data_dir), str(tmp_path / "raw"), "--data-raw"):
        assert word in str(error.value)
    assert audio_root(data_dir, must_exist=False) == tmp_path / "raw"
    assert main([str(data_dir)]) == 1
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count("data-raw-moved") == 1
    assert validate(data_dir, tmp_path / "moved") == []


def test_an_empty_folder_name_is_no_card(data_dir: Path) -> None:
    (data_dir / "corpus.yaml").write_text(dump_yaml({"name": "c", "data_raw": ""}))
    with raises("document-invalid"):
        audio_root(data_dir)
