"""Where the data dir of a training comes from, and when it is used again or refused."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from codes import raises

from data_prep.tables.options import add_preparation_options
from emo_fairseq.cli.train.data import find_data
from emo_fairseq.modalities import MODALITIES


@pytest.fixture
def options(tmp_path, monkeypatch):
    """Options of ``train`` by their words, in a folder with a table."""
    monkeypatch.chdir(tmp_path)
    Path("labels.csv").write_text("id,text,emotion\na,so glad,happy\nb,oh no,sad\n")
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--fold")
    parser.add_argument("--modality")
    for modality in MODALITIES:
        parser.add_argument(f"--{modality}-encoder")
    add_preparation_options(parser)
    parser.set_defaults(words=["emotion-recognize", "train", "labels.csv"], target=None)
    return lambda words: parser.parse_args(words.split())


def prepared(options, words: str) -> Path:
    """As if the command of these words had prepared its data dir."""
    data, _ = find_data(options(words))
    data.begin()
    (data.folder / "corpus.yaml").write_text("name: labels\n")
    return data.folder


def test_a_table_is_prepared_beside_the_user(options):
    data, notes = find_data(options("labels.csv --split-by row"))
    written = ["-m", "data_prep.table", "labels.csv", "data/labels", "--split-by", "row"]
    assert list(data.prepare[1:]) == [*written, "--name", "labels"]
    assert (data.name, notes) == ("labels", [])
    assert not Path("data").exists(), "nothing is written before it runs"


def test_it_is_used_again(options):
    folder = prepared(options, "labels.csv --split-by row")
    data, notes = find_data(options("labels.csv --split-by row"))
    assert (data.folder, data.prepare) == (folder, ())
    assert "is used again" in notes[0]


def test_a_folder_of_features_that_has_changed_is_refused(options):
    """Else rows whose files came later would stay left out."""
    Path("vectors").mkdir()
    np.save("vectors/a.npy", np.zeros((2, 3), np.float32))
    words = "labels.csv --split-by row --feature-files mine=vectors"
    prepared(options, words)
    assert not find_data(options(words))[0].prepare, "the same is used again"
    np.save("vectors/b.npy", np.zeros((2, 3), np.float32))
    with raises("data-dir-in-use") as error:
        find_data(options(words))
    assert "before labels.csv or a folder of --feature-files has changed" in str(error.value)


def test_an_interrupted_preparation_is_run_again(options):
    find_data(options("labels.csv --split-by row"))[0].begin()
    (Path("data/labels") / "train.tsv").write_text("")
    data, _ = find_data(options("labels.csv --test-fraction 0.3"))
    assert "--test-fraction" in data.prepare


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            "labels.csv --split-by row --test-fraction 0.3",
            "prepared without --test-fraction 0.3; remove ",
        ),
        ("other/labels.csv --split-by row", "and not from other/labels.csv"),
    ],
)
def test_a_data_dir_of_something_else_is_refused(words, reason, options):
    prepared(options, "labels.csv --split-by row")
    Path("other").mkdir()
    Path("other/labels.csv").write_text(Path("labels.csv").read_text())
    with raises("data-dir-in-use") as error:
        find_data(options(words))
    assert reason in str(error.value)
    if "other/" not in words:
        assert "train labels.csv --data-dir data/labels-2 [" in f"{error.value} ["
    data, _ = find_data(options(f"{words} --data-dir data/another"))
    assert data.folder == Path("data/another")


def test_another_data_dir_is_named_in_place_of_the_given_one(options):
    prepared(options, "labels.csv --split-by row --data-dir mine")
    given = options("labels.csv --split-by row --split-seed 2 --data-dir mine")
    given.words += ["--data-dir", "mine", "--split-seed", "2"]
    with raises("data-dir-in-use") as error:
        find_data(given)
    assert "train labels.csv --split-seed 2 --data-dir mine-2" in str(error.value)


def test_a_table_that_has_changed_is_not_ignored(options):
    prepared(options, "labels.csv")
    with Path("labels.csv").open("a") as file:
        file.write("c,well,happy\n")
    with raises("data-dir-in-use") as error:
        find_data(options("labels.csv"))
    assert "before labels.csv has changed" in str(error.value)


def test_a_file_that_is_added_to_a_folder_is_not_ignored(options):
    Path("parts").mkdir()
    for split in ("train", "test"):
        Path(f"parts/{split}.csv").write_text(Path("labels.csv").read_text())
    prepared(options, "parts")
    assert find_data(options("parts"))[1]
    table = Path("parts/test.csv")
    before = table.read_text()
    table.write_text(before.replace("sad", "mad"))  # a label of the same length
    assert table.read_text() != before
    with raises("data-dir-in-use"):
        find_data(options("parts"))
    table.write_text(before)
    Path("parts/valid.csv").write_text(Path("labels.csv").read_text())
    with raises("data-dir-in-use"):
        find_data(options("parts"))


def test_a_file_that_is_added_behind_a_link_is_not_ignored(options, tmp_path):
    for name in ("glad", "sad"):
        (tmp_path / name).mkdir()
        sf.write(tmp_path / name / "1.wav", np.zeros(800), 16_000)
    Path("calls").mkdir()
    (tmp_path / "glad").rename(Path("calls/glad"))
    Path("calls/sad").symlink_to(tmp_path / "sad")
    prepared(options, "calls --split-by row")
    assert find_data(options("calls --split-by row"))[1], "the same is used again"
    sf.write(tmp_path / "sad" / "2.wav", np.zeros(800), 16_000)
    with raises("data-dir-in-use"):
        find_data(options("calls --split-by row"))


def test_a_link_to_a_file_that_is_gone_is_named(options):
    Path("parts").mkdir()
    Path("parts/train.csv").write_text(Path("labels.csv").read_text())
    Path("parts/notes.txt").symlink_to("/gone/notes.txt")
    with raises("file-missing") as error:
        find_data(options("parts"))
    assert str(error.value).startswith("parts/notes.txt: is a link to a file that is not there;")


def test_an_older_version_that_did_not_read_behind_links_prepared_the_same(options, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "notes.txt").write_text("")
    Path("parts").mkdir()
    for split in ("train", "test"):
        Path(f"parts/{split}.csv").write_text(Path("labels.csv").read_text())
    record = prepared(options, "parts") / "prepared_from.json"
    before = json.loads(record.read_text())
    Path("parts/more").symlink_to(tmp_path / "more")
    assert len(find_data(options("parts"))[1]) == 1
    assert json.loads(record.read_text()) == before


def test_the_record_of_an_older_version_is_still_of_the_folder(options):
    """It has a digest of names and sizes alone."""
    Path("parts").mkdir()
    for split in ("train", "test"):
        Path(f"parts/{split}.csv").write_text(Path("labels.csv").read_text())
    file = prepared(options, "parts") / "prepared_from.json"
    record = json.loads(file.read_text())
    assert len(record["digest"]) == 128
    file.write_text(json.dumps({**record, "digest": record["digest"][:64]}))
    assert find_data(options("parts"))[1]


def test_recordings_that_were_moved_are_the_same_ones(options):
    Path("recordings").mkdir()
    for name in ("a", "b"):
        sf.write(f"recordings/{name}.wav", np.linspace(-0.5, 0.5, 8000), 16000)
    Path("labels.csv").write_text("file,emotion\na.wav,happy\nb.wav,sad\n")
    words = "labels.csv --split-by row --data-raw"
    folder = prepared(options, f"{words} recordings")
    Path("recordings").rename("moved")
    data, notes = find_data(options(f"{words} moved"))
    assert (data.folder, data.prepare, data.data_raw) == (folder, (), Path("moved"))
    assert "is used again" in notes[0]


def test_other_files_are_not_written_over(options):
    Path("data/labels").mkdir(parents=True)
    (Path("data/labels") / "mine.txt").write_text("")
    with raises("data-dir-in-use"):
        find_data(options("labels.csv"))


def test_a_data_dir_is_used_where_it_is(options, toy_corpus):
    data, _ = find_data(options(f"{toy_corpus} --data-raw audio"))
    assert (data.folder, data.data_raw, data.prepare) == (toy_corpus, Path("audio"), ())
    with raises("option-unused"):
        find_data(options(f"{toy_corpus} --split-by row"))
    with raises("option-unused"):
        find_data(options(f"{toy_corpus} --data-dir x"))
