"""Bad manifests, folders and options get one clear sentence: the place and the remedy."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from fairseq_process import assert_one_sentence

from data_prep.commands.tokenize_text import tokenize_with_sentencepiece

TEXT = "--modality text --batch-size 8 --max-update 1"


# -- manifests -------------------------------------------------------------------------------------


@pytest.fixture
def with_manifest(copy_toy):
    """A data dir in which a function has changed the cells of a train row (row 1: the header)."""

    def make(row, change):
        data = copy_toy()
        lines = (data / "train.tsv").read_text().splitlines()
        cells = dict(zip(lines[0].split("\t"), lines[row - 1].split("\t"), strict=True))
        lines[row - 1] = "\t".join(change(cells).values())
        (data / "train.tsv").write_text("\n".join(lines) + "\n")
        return data

    return make


def without(name):
    return lambda cells: {key: cell for key, cell in cells.items() if key != name}


BAD_ROWS = {
    "NaN": (3, lambda cells: {**cells, "valence": "nan"}, ["row 3", "valence is 'nan'", "0 to 1"]),
    "emotion": (
        4,
        lambda cells: {**cells, "emotion": "bored"},
        [": train_", "'bored'", "neutral, "],
    ),
    "cell": (5, without("turn"), ["row 5", "12 fields", "13"]),
    "column": (1, without("speaker"), ["row 1", "no column speaker", "add the column"]),
    "no id": (6, lambda cells: {**cells, "id": ""}, ["row 6", "no id"]),
    "n_samples": (7, lambda cells: {**cells, "n_samples": "1.5"}, ["row 7", "n_samples is '1.5'"]),
}


@pytest.mark.parametrize(("row", "change", "said"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_bad_row(row, change, said, with_manifest, run):
    data = with_manifest(row, change)
    assert_one_sentence(run("train", f"--data {data}", TEXT), data / "train.tsv", *said)


def test_an_id_twice(copy_toy, run):
    data = copy_toy()
    lines = (data / "train.tsv").read_text().splitlines()
    name = lines[1].split("\t")[0]
    lines[8] = lines[1]
    (data / "train.tsv").write_text("\n".join(lines) + "\n")
    finished = run("train", f"--data {data}", TEXT)
    assert_one_sentence(finished, data / "train.tsv", "row 9", repr(name), "row 2", "its own id")


@pytest.fixture
def with_texts(copy_toy):
    """A data dir with other texts, tokenized."""

    def make(change):
        data = copy_toy(change)
        (data / "text").rename(data / "old_text")
        tokenize_with_sentencepiece(data, vocab_size=400)
        return data

    return make


def test_one_empty_text(with_texts, fairseq, commands, tmp_path):
    """The row is left out, and the log says so."""

    def empty(split, rows):
        return [replace(rows[0], text=None), *rows[1:]] if split == "train" else rows

    data = with_texts(empty)
    log = fairseq("train", commands["train"], f"--data {data} --save-dir {tmp_path / 'run'}", TEXT)
    name = (data / "train.tsv").read_text().splitlines()[1].split("\t")[0]
    assert f"{data}/train.tsv: 1 rows left out" in log.log
    assert name in log.log
    assert "train: 31 utterances" in log.log


def test_every_text_empty(with_texts, run):
    def empty(split, rows):
        return [replace(row, text=None) for row in rows] if split == "valid" else rows

    data = with_texts(empty)
    finished = run("train", f"--data {data}", TEXT)
    assert_one_sentence(finished, data / "valid.tsv", "text", "--modality")


def test_a_text_changed_after_tokenizing(with_manifest, run):
    data = with_manifest(2, lambda cells: {**cells, "text": "other words"})
    finished = run("train", f"--data {data}", TEXT)
    assert_one_sentence(finished, data / "text", "train", f"data_prep.tokenize_text {data}")


# -- folders and options ---------------------------------------------------------------------------

BAD_OPTIONS = {
    "no data": ("--data '???'", ["--data is missing", "folder"]),
    "no folder": ("--data nowhere", ["--data nowhere", "no such folder"]),
    "no data dir": ("--data empty", ["--data empty", "not a data dir", "data_prep"]),
    "num-classes": ("--num-classes 5", ["--num-classes 5", "emotion", "4 outputs"]),
    "save-predictions": ("--save-predictions x.tsv", ["--save-predictions", "fairseq-validate"]),
    "modality": ("--modality smell", ["'smell'", "text, speech"]),
    "video": ("--modality video", ["--video-encoder hf:FOLDER or features:NAME"]),
    "target": ("--target sentiment_score", ["sentiment_score", "--target"]),
    "split": ("--valid-subset dev", ["dev.tsv", "no split 'dev'", "test, train, valid"]),
}


@pytest.mark.parametrize(("options", "said"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_bad_option(options, said, toy_corpus, run, tmp_path):
    (tmp_path / "empty").mkdir()
    assert_one_sentence(run("train", f"--data {toy_corpus}", TEXT, options), *said)


@pytest.mark.parametrize(
    ("section", "option"),
    [("lr_scheduler", "--lr-scheduler fixed"), ("task", "task")],
)
def test_a_section_that_the_yaml_lacks(section, option, toy_corpus, fairseq_process, tmp_path):
    folder = Path(__file__).parents[2]
    config = yaml.safe_load((folder / "examples/toy/config/text.yaml").read_text())
    config["common"]["user_dir"] = str(folder / "emo_fairseq")
    config["task"]["data"] = str(toy_corpus)
    del config[section]
    (tmp_path / "short.yaml").write_text("# @package _group_\n" + yaml.safe_dump(config))
    words = f"--config-dir {tmp_path} --config-name short"
    finished = fairseq_process("hydra-train", words).wait()
    assert finished.code == (2 if option.startswith("--") else 1)
    assert_one_sentence(finished, option, f"{section}: {{_name: ")


def test_hydra(toy_corpus, fairseq_process, commands):
    """Its own report of a failure would be a traceback."""
    folder = Path(__file__).parents[2]
    options = f"--config-dir {folder / 'examples/toy/config'} --config-name text"
    plugin = f"common.user_dir={folder / 'emo_fairseq'}"
    wrong = f"task.data={toy_corpus} +task.num_classes=5"
    finished = fairseq_process("hydra-train", options, plugin, wrong).wait()
    assert_one_sentence(finished, "--num-classes 5", "4 outputs")
