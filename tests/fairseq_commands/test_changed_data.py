"""A training goes on with the data that it began with, or not at all."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from codes import raises
from in_process import TRAIN
from token_folders import tokens_of

from data_prep.features.stored import write_split
from data_prep.schema import read_corpus, read_manifest
from data_prep.tokens.folder import DICT_FILE, TOKENIZER_FILE
from emo_fairseq.errors import UsageError

TEXT = "--modality text --batch-size 8"
FRAMES = "--modality speech --speech-input log_mel --batch-size 8"


@pytest.fixture
def train(fairseq, commands, copy_toy, tmp_path) -> Callable[..., str]:
    """Train on a copy of the toy corpus, `tmp_path / "toy"`, until so many updates; the log."""
    place = f"--data {copy_toy()} --save-dir {tmp_path / 'run'}"

    def run(options: str, updates: int) -> str:
        words = (commands["train"], place, options, f"--max-update {updates}")
        return fairseq("train", *words).log

    return run


def change_corpus(folder: Path, **values: object) -> None:
    file = folder / "corpus.yaml"
    corpus = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**corpus, **values}, sort_keys=False))


def reverse_labels(folder: Path) -> None:
    labels = read_corpus(folder).labels
    change_corpus(folder, labels={**labels, "emotion": [*reversed(labels["emotion"])]})


def rename(folder: Path) -> None:
    change_corpus(folder, name="another")


def fit_tokenizer_again(folder: Path) -> None:
    """As many words, in another order: the same sizes everywhere."""
    own = tokens_of(folder).resolve()
    (folder / "text").unlink()
    text = folder / "text" / own.name
    text.mkdir(parents=True)
    for file in own.iterdir():
        if file.name == TOKENIZER_FILE:
            continue  # it has the digest of the dictionary of before
        (text / file.name).write_bytes(file.read_bytes())
    lines = (text / DICT_FILE).read_text().splitlines()
    (text / DICT_FILE).write_text("\n".join(reversed(lines)) + "\n")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (reverse_labels, "checkpoint-labels-other"),
        (rename, "resumed-corpus-other"),
        (fit_tokenizer_again, "vocabulary-other"),
    ],
)
def test_other_data(change, code, train, tmp_path):
    train(TEXT, 2)
    before = (tmp_path / "run" / "checkpoint_last.pt").read_bytes()
    change(tmp_path / "toy")
    with raises(code):
        train(TEXT, 3)
    assert (tmp_path / "run" / "checkpoint_last.pt").read_bytes() == before
    train(f"{TEXT} --reset-optimizer --reset-dataloader", 3)  # its weights alone


def test_other_options(train):
    train(f"{TEXT} --auxiliary-targets vad", 2)
    trained = r"trained with vad \(valence, arousal, dominance\); start afresh"
    with pytest.raises(UsageError, match=rf"--auxiliary-targets: none, .* {trained}"):
        train(TEXT, 3)
    with pytest.raises(UsageError, match=r"the tokens that begin, .*init=5.*; give the --init-tok"):
        train(f"{TEXT} --auxiliary-targets vad --init-token 5", 3)


def test_a_best_value_of_another_metric_does_not_go_on(train, tmp_path):
    """A loss of 1.6 would be the largest UAR for ever, and its checkpoint the best."""
    valid = tmp_path / "toy" / "valid.tsv"
    by_uar = "--best-checkpoint-metric uar --maximize-best-checkpoint-metric"
    train(FRAMES, 2)
    with raises("resumed-metric-other"):
        train(f"{FRAMES} {by_uar}", 4)
    (tmp_path / "toy" / "dev2.tsv").write_bytes(valid.read_bytes())
    with raises("resumed-metric-other"):
        train(f"{FRAMES} --valid-subset dev2", 4)
    valid.write_text("".join(valid.read_text().splitlines(keepends=True)[:-2]))
    assert "2 rows of valid are new or gone" in train(FRAMES, 4)
    train(f"{FRAMES} {by_uar} --reset-meters", 6)
    best = torch.load(tmp_path / "run" / "checkpoint_best.pt", weights_only=True)
    assert best["cfg"]["checkpoint"]["best_checkpoint_metric"] == "uar"


def test_rows_that_are_gone(train, tmp_path):
    """The statistics and counts that the weights were trained with stay; it is told."""
    train(FRAMES, 2)
    rows = tmp_path / "toy" / "train.tsv"
    rows.write_text("".join(rows.read_text().splitlines(keepends=True)[:-5]))
    file = tmp_path / "run" / "checkpoint_last.pt"
    before = torch.load(file, weights_only=True)["task_state"]
    log = train(FRAMES, 3)
    assert re.search(
        r"the train split has changed: classes have .*, and had .* when the train", log
    )
    assert "statistics of frames are the checkpoint's, not those of --data" in log
    after = torch.load(file, weights_only=True)["task_state"]
    for name in ("class_counts", "frame_statistics", "labels", "corpus"):
        assert json.dumps(after[name]) == json.dumps(before[name])


@pytest.fixture
def write_features(tmp_path) -> Callable[[str], None]:
    """Features of the toy corpus under one name, by an encoder whose weights are called this."""

    def write(weights: str) -> None:
        folder = tmp_path / "toy" / "features" / "some"
        for split in ("train", "valid", "test"):
            rows = read_manifest(tmp_path / "toy" / f"{split}.tsv")
            frames = (np.full((3, 4), number / len(rows), "f4") for number in range(len(rows)))
            settings = {"modality": "speech", "weights": weights, "dtype": "float32"}
            write_split(folder, split, rows, frames, settings, "content")

    return write


def test_features_of_another_encoder(write_features, fairseq, commands, copy_toy, tmp_path):
    data, run = copy_toy(), tmp_path / "run"
    write_features("one")
    sizes = "--arch robertaEMO_tiny --speech-embed-dim 16 --embedding-dim 16"
    options = f"{TRAIN} {sizes} --modality speech --speech-encoder features:some --batch-size 8"
    words = (options, f"--data {data} --save-dir {run}")
    fairseq("train", *words, "--max-update 2")
    path = f"--path {run / 'checkpoint_last.pt'} --data {data}"
    score = (commands["validate"], path, "--valid-subset test --batch-size 8")
    before = fairseq("validate", *score).figures("test")
    write_features("another")
    with pytest.raises(UsageError, match="features/some: made by another encoder, layer or pool"):
        fairseq("validate", *score)
    with pytest.raises(UsageError, match="the checkpoint was trained with features:some"):
        fairseq("train", *words, "--max-update 3")
    write_features("one")
    assert fairseq("validate", *score).figures("test") == before
