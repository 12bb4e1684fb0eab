"""A model of dialogues through fairseq-train and fairseq-validate."""

import shutil

import numpy as np
import pytest
import torch
from dialogue_corpora import TINY_DIALOGUE, write_dialogues
from in_process import PLAIN, TRAIN

from data_prep.schema import read_manifest
from emo_fairseq.evaluation import attention, predictions

MODEL = f"{TRAIN} --arch robertaEMO_tiny {TINY_DIALOGUE} --batch-size 24"
TRAINING = f"""{MODEL} --text-pooling attention --max-epoch 10 --seed 3 --lr 0.006
    --dialogue-dropout 0 --pooler-dropout 0 --curriculum-final-dropout 0
    --curriculum-order model_confidence --curriculum-epochs 3 --save-interval-updates 32"""
WITHIN_EPOCH = "checkpoint_3_32.pt"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_dialogues(tmp_path_factory.mktemp("dialogues") / "data")


@pytest.fixture(scope="module")
def whole(corpus, fairseq, tmp_path_factory):
    """The folder of a training, and what it logged."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, fairseq("train", TRAINING, f"--data {corpus} --save-dir {folder}")


@pytest.fixture(scope="module")
def scored(corpus, whole, fairseq, tmp_path_factory):
    """What fairseq-validate writes of the valid split at two batch sizes."""
    folder, limits = tmp_path_factory.mktemp("scored"), ("--batch-size 3", "--max-tokens 400")
    for number, limit in enumerate(limits):
        files = f"--save-predictions {folder}/{number}.tsv --save-embeddings {folder}/{number}.npz"
        files += f" --save-attention {folder}/{number}-attention.npz --attention-ids valid_1_0"
        place = f"--data {corpus} --path {whole[0]}/checkpoint_last.pt"
        fairseq("validate", PLAIN, place, limit, files)
    return folder


def test_a_turn_is_predicted_from_the_turn_before(whole):
    """A turn alone has less than half of these emotions right."""
    _, done = whole
    assert "train: 146 turns are scored and 170 read, in 53 windows of at most 5 turns" in done.log
    assert done.figures("valid")["uar"] > 0.75


def test_each_turn_is_scored_once_and_alike_at_any_batch_size(scored, corpus, whole):
    rows = [predictions.read(scored / f"{number}.tsv") for number in (0, 1)]
    names = [row.id for row in read_manifest(corpus / "valid.tsv")]
    assert [row["id"] for row in rows[0]] == sorted(names)
    probabilities = [
        [[float(row[f"probability_{label}"]) for label in ("joy", "anger")] for row in of_run]
        for of_run in rows
    ]
    np.testing.assert_allclose(*probabilities, atol=2e-6)
    right = np.mean([row["truth"] == row["prediction"] for row in rows[0]])
    assert right == pytest.approx(whole[1].figures("valid")["wa"], abs=1e-6)
    vectors = [np.load(scored / f"{number}.npz") for number in (0, 1)]
    assert vectors[0]["ids"].tolist() == vectors[1]["ids"].tolist()
    np.testing.assert_allclose(*(found["embeddings"] for found in vectors), atol=1e-5)


def test_attention_is_that_of_the_utterance_without_padding(scored):
    for number in (0, 1):
        (row,) = attention.read(scored / f"{number}-attention.npz")
        (weights,) = row.weights.values()
        assert row.id == "valid_1_0"
        assert len(row.words) == len(weights)
        assert weights.sum() == pytest.approx(1.0, abs=1e-5)


def test_a_training_that_was_interrupted_goes_on_as_if_it_had_not_been(
    corpus, whole, fairseq, tmp_path
):
    folder, done = whole
    shutil.copyfile(folder / WITHIN_EPOCH, tmp_path / "checkpoint_last.pt")
    place = f"--data {corpus} --save-dir {tmp_path} --max-update 64"
    resumed = fairseq("train", TRAINING, place)
    epochs, again = (
        [figures["loss"] for figures in run.all_figures("train")] for run in (done, resumed)
    )
    assert len(again) > 3
    assert again[1:-1] == epochs[3 : len(again) + 1]  # the first and the last are parts
    (later,) = folder.glob("checkpoint_*_64.pt")
    one, two = (
        torch.load(file, weights_only=True)["model"]
        for file in (later, tmp_path / "checkpoint_last.pt")
    )
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_teacher_of_dialogues_for_a_student_of_utterances(scored, whole, corpus, make_task):
    student = make_task(corpus, modality="text")
    provide = student.teacher_from_checkpoint(str(whole[0] / "checkpoint_last.pt"), None)
    split = student.data.split("valid")
    probabilities = torch.from_numpy(provide(split)).softmax(dim=1).numpy()
    by_name = {row["id"]: row for row in predictions.read(scored / "0.tsv")}
    expected = [
        [float(by_name[row.id][f"probability_{label}"]) for label in student.labels]
        for row in split.utterances
    ]
    np.testing.assert_allclose(probabilities, expected, atol=2e-6)


def test_two_ranks_train_as_one_that_adds_up_two_batches(corpus, on_two_ranks, fairseq, tmp_path):
    train = f"{MODEL} --data {corpus} --max-epoch 2 --optimizer sgd --lr 0.1 --dialogue-dropout 0"
    train += " --pooler-dropout 0 --dropout 0 --attention-dropout 0"
    train += " --curriculum-order model_confidence --curriculum-epochs 2 --save-dir"
    one = fairseq("train", train, tmp_path / "one", "--update-freq 2")
    two = on_two_ranks("train", train, tmp_path / "two", "--ddp-backend no_c10d")
    for tag in ("train_inner", "train", "valid"):
        losses = [[line["loss"] for line in run.all_figures(tag)] for run in (one, two)]
        assert losses[0] == pytest.approx(losses[1], abs=2e-4)
    assert one.figures("train")["wa"] == pytest.approx(two.figures("train")["wa"], abs=1e-6)


def test_outputs_of_a_frozen_encoder_are_read_from_disk(corpus, whole, fairseq, tmp_path):
    """And a model that is not trained measures what the one did that it starts from."""
    folder, done = whole
    still = f"--init-from {folder}/checkpoint_last.pt --text-tuning frozen --lr 0 --max-update 1"
    cache = f"--cache-dir {tmp_path}/cache --cache-dtype float32"
    place = f"--data {corpus} --save-dir {tmp_path}/frozen"
    train = f"{MODEL} --text-pooling attention --optimizer sgd"
    frozen = fairseq("train", train, still, cache, place)
    assert frozen.figures("valid")["loss"] == done.figures("valid")["loss"]
    assert len(list((tmp_path / "cache").glob("text/*/train.npy"))) == 1
