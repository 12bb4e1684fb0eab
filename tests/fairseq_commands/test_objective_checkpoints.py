"""What terms of the loss learn and keep: resumed, in half precision, not needed to score."""

import math

import pytest
import torch
from fairseq_process import assert_one_sentence

from data_prep.prototypes import (
    PROTOTYPES_FILE,
    write_prototypes,
)
from data_prep.prototypes.fitting import fit_prototypes

SUPCON = """--criterion emotion_supcon --supcon-weighting v3 --supcon-queue 10
    --supcon-projection-dim 8 --modality text --batch-size 8"""
OTHERS = """--auxiliary-targets vad,sentiment --auxiliary-weighting uncertainty
    --speaker-adversary-weight 0.1 --adversary-warmup-updates 4"""
COURSES = {
    "moving prototypes": f"{SUPCON} {OTHERS} --prototype-learning ema --prototype-momentum 0.5",
    "trained prototypes": f"{SUPCON} {OTHERS} --prototype-learning trained --weight-decay 0.1",
    "curriculum": """--criterion emotion_classification --modality text --batch-size 4
        --curriculum-order model_confidence --curriculum-epochs 3""",
}
UPDATES = 7


@pytest.fixture
def data(copy_toy):
    folder = copy_toy()
    write_prototypes(folder / PROTOTYPES_FILE, fit_prototypes([folder]))
    return folder


def assert_same(one, two):
    """Of nested state: the same tensors and numbers at the same places."""
    assert type(one) is type(two)
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for key in one:
            assert_same(one[key], two[key])
    elif isinstance(one, list):
        for pair in zip(one, two, strict=True):
            assert_same(*pair)
    elif torch.is_tensor(one):
        torch.testing.assert_close(one, two, rtol=0, atol=0, equal_nan=True)
    else:
        assert one == two


@pytest.mark.parametrize("course", COURSES)
def test_a_resumed_training_goes_on_as_if_it_had_not_stopped(
    course, data, fairseq, commands, tmp_path
):
    train = [commands["train"], f"--data {data}", COURSES[course]]

    def run(folder, updates):
        return fairseq("train", *train, f"--save-dir {tmp_path / folder} --max-update {updates}")

    whole = run("whole", UPDATES)
    run("stopped", UPDATES - 2)
    (data / PROTOTYPES_FILE).unlink()  # the checkpoint has them
    resumed = run("stopped", UPDATES)
    one, two = (
        torch.load(tmp_path / folder / "checkpoint_last.pt") for folder in ("whole", "stopped")
    )
    for part in ("model", "criterion", "task_state"):
        assert_same(one[part], two[part])
    losses = [[line["loss"] for line in run.all_figures("train_inner")] for run in (whole, resumed)]
    assert losses[1] == losses[0][-2:]
    state = one["task_state"]
    if course == "curriculum":
        assert state["confidence"]["epoch"] > 1
    else:
        assert len(state["embedding_queue"][0]) == 10
        assert math.isfinite(state["prototypes"]["quantiles"][0.5])
        assert len(one["criterion"]) > 6


@pytest.mark.parametrize("precision", ["--bf16", "--fp16 --fp16-no-flatten-grads"])
def test_half_precision_trains_all_terms(precision, data, fairseq, commands, tmp_path):
    options = f"{COURSES['trained prototypes']} --max-update 4 {precision} --fp16-init-scale 4"
    train = [commands["train"], f"--data {data} --save-dir {tmp_path / 'half'}", options]
    lines = fairseq("train", *train).all_figures("train_inner")
    assert len(lines) == 4
    of_terms = ("contrastive_loss", "vad_loss", "speaker_adversary_loss", "difficulty")
    for name in ("loss", "gnorm", *of_terms):
        assert all(math.isfinite(line[name]) for line in lines), name
    state = torch.load(tmp_path / "half" / "checkpoint_last.pt")
    assert state["task_state"]["embedding_queue"][2].dtype == torch.float64
    assert all(value.isfinite().all() for value in state["criterion"].values())


def test_a_queue_of_rows_without_difficulty_is_scored_and_resumed(
    data, fairseq, commands, tmp_path
):
    (data / PROTOTYPES_FILE).unlink()
    queue = "--modality text --criterion emotion_supcon --supcon-queue 8 --batch-size 8"
    train = [commands["train"], f"--data {data} --save-dir {tmp_path / 'one'}", queue]
    fairseq("train", *train, "--max-update 2 --disable-validation")
    checkpoint = tmp_path / "one" / "checkpoint_last.pt"
    assert torch.load(checkpoint)["task_state"]["embedding_queue"][2].isnan().all()
    score = [commands["validate"], f"--data {data} --path {checkpoint} --valid-subset test"]
    assert "uar" in fairseq("validate", *score, "--batch-size 8").figures("test")
    assert len(fairseq("train", *train, "--max-update 3").all_figures("train_inner")) == 1


def test_scoring_needs_no_prototypes(data, fairseq, commands, tmp_path):
    options = f"{COURSES['moving prototypes']} --class-weighting difficulty --max-update 2"
    train = [commands["train"], f"--data {data} --save-dir {tmp_path / 'one'}", options]
    done = fairseq("train", *train)
    assert {"contrastive_loss", "uar@sentiment"} <= done.figures("train").keys()
    assert "contrastive_loss" not in done.figures("valid")
    assert "uar@sentiment" in done.figures("valid")
    (data / PROTOTYPES_FILE).unlink()
    path = f"--path {tmp_path / 'one' / 'checkpoint_last.pt'} --data {data} --batch-size 5"
    found = fairseq("validate", commands["validate"], path, "--valid-subset test")
    figures = found.figures("test")
    assert {"uar", "uar@sentiment", "ccc@vad"} <= figures.keys()
    assert not any("contrastive" in name or "speaker" in name for name in figures)


def test_other_terms_on_resume_are_refused_in_one_sentence(data, fairseq, run, commands, tmp_path):
    place = f"--data {data} --save-dir {tmp_path / 'one'}"
    options = COURSES["trained prototypes"]
    fairseq("train", commands["train"], place, options, "--max-update 2")
    finished = run("train", place, options, "--supcon-projection-dim 5 --max-update 4")
    assert_one_sentence(finished, "checkpoint_last.pt", "trained with other terms of the loss")
