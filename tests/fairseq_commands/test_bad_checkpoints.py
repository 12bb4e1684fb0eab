"""A checkpoint that cannot be used, or not with these data, gets one clear sentence."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fairseq_process import assert_one_sentence
from token_folders import tokens_of

TEXT = "--modality text --batch-size 8 --max-update 1"


@pytest.fixture
def score(run, toy_corpus):
    """Score the toy's test split with a checkpoint."""

    def validate(checkpoint, data=toy_corpus, *options):
        place = f"--data {data} --path {checkpoint} --valid-subset test --batch-size 8"
        return run("validate", place, *options)

    return validate


@pytest.fixture(scope="session")
def other_task(fairseq, tmp_path_factory):
    """A checkpoint of fairseq's masked language model."""
    folder = tmp_path_factory.mktemp("masked_lm")
    fairseq(
        "train",
        f"--cpu --task dummy_masked_lm --arch masked_lm --criterion masked_lm --save-dir {folder}",
        "--encoder-layers 1 --encoder-embed-dim 8 --encoder-ffn-embed-dim 8",
        "--encoder-attention-heads 1 --dict-size 20 --dataset-size 8 --tokens-per-sample 8",
        "--batch-size 4 --optimizer sgd --lr 0.1 --max-update 1 --disable-validation",
    )
    return folder / "checkpoint_last.pt"


def test_checkpoint_of_another_task(other_task, score):
    finished = score(other_task)
    assert_one_sentence(finished, other_task, "dummy_masked_lm", "emotion_prediction")


def test_training_on_from_another_task(other_task, run, toy_corpus):
    finished = run("train", f"--data {toy_corpus} --restore-file {other_task}", TEXT)
    assert_one_sentence(finished, other_task, "of the task dummy_masked_lm, not of emotion_pred")


@pytest.fixture
def truncated(trained, tmp_path):
    whole = trained(TEXT).read_bytes()
    file = tmp_path / "truncated" / "checkpoint_last.pt"
    file.parent.mkdir()
    file.write_bytes(whole[: len(whole) // 2])
    return file


def test_truncated_checkpoint(truncated, score):
    assert_one_sentence(score(truncated), truncated, "is cut short; copy it again")


def test_training_on_from_a_truncated_checkpoint(truncated, run, toy_corpus):
    finished = run("train", f"--data {toy_corpus} --save-dir {truncated.parent}", TEXT)
    assert_one_sentence(finished, truncated, "is cut short; copy it again")


def test_a_checkpoint_that_runs_code(trained, score, tmp_path):
    state = torch.load(trained(TEXT), weights_only=True)
    torch.save({**state, "harm": Path("nowhere")}, tmp_path / "harmful.pt")
    assert_one_sentence(score(tmp_path / "harmful.pt"), "harmful.pt", "may run code")


def test_no_checkpoint(score):
    assert_one_sentence(score("nowhere.pt"), "nowhere.pt", "no such checkpoint")


def test_dictionary_that_does_not_fit(trained, toy_corpus, copy_toy, score):
    data = copy_toy()
    (data / "text").rename(data / "old_text")
    shutil.copytree(toy_corpus / "text", data / "text")
    (tokens_of(data) / "tokenizer.yaml").unlink()  # or the file would be damaged
    file = tokens_of(data) / "dict.txt"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:5][::-1], *lines[5:]]) + "\n")
    finished = score(trained(TEXT), data)
    assert_one_sentence(finished, file, "checkpoint", "tokenize")


def test_other_number_of_classes_than_the_checkpoint(trained, toy_corpus, score):
    finished = score(trained(TEXT), toy_corpus, "--num-classes 3")
    assert_one_sentence(finished, "--num-classes 3", "4 outputs")


def test_another_target_than_the_checkpoint(trained, toy_corpus, score):
    finished = score(trained(TEXT), toy_corpus, "--target vad")
    assert_one_sentence(finished, "head", "is (4,), not (3,)", "--target")


def test_other_labels_than_the_checkpoint(trained, copy_toy, score):
    def rename(split, rows):
        return [replace(row, emotion="furious") if row.emotion == "angry" else row for row in rows]

    data = copy_toy(rename)
    finished = score(trained(TEXT), data)
    assert_one_sentence(finished, data / "test.tsv", "'furious'", "angry")


def test_other_sizes_than_the_checkpoint(trained, run, toy_corpus, tmp_path):
    shutil.copy(trained(TEXT), tmp_path / "checkpoint_last.pt")
    finished = run(
        "train", f"--data {toy_corpus} --save-dir {tmp_path}", TEXT, "--text-embed-dim 8"
    )
    file = tmp_path / "checkpoint_last.pt"
    assert_one_sentence(finished, file, "does not fit the model", "(", "--save-dir")
