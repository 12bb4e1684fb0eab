"""Objectives through the real commands: prototypes, teachers and further targets come and go."""

import json
import math
import re
from dataclasses import fields, replace

import pytest
import torch
from extended import all_but
from fairseq_process import assert_one_sentence

from data_prep.commands import fit_prototypes
from data_prep.schema import AXES, read_manifest
from emo_fairseq import losses
from emo_fairseq.criterions.registered import EmotionDistillationConfig, EmotionSupConConfig
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.tasks.config import EmotionPredictionConfig

TEXT = "--modality text --batch-size 8 --seed 5"
SUPCON = f"{TEXT} --criterion emotion_supcon"
DISTILLATION = f"{TEXT} --criterion emotion_distillation"


@pytest.fixture
def data(copy_toy):
    """The toy corpus, with prototypes fitted by the command."""
    folder = copy_toy()
    assert fit_prototypes.main([str(folder)]) == 0
    return folder


@pytest.fixture
def train(fairseq, commands, tmp_path):
    """Train in a folder of this name; returns the log and the last checkpoint."""

    def run(name, *options):
        place = f"--save-dir {tmp_path / name}"
        log = fairseq("train", commands["train"], *options, place)
        return log, torch.load(tmp_path / name / "checkpoint_last.pt", weights_only=True)

    return run


def same_weights(one, other):
    assert one["model"].keys() == other["model"].keys()
    return all(torch.equal(one["model"][key], other["model"][key]) for key in one["model"])


# -- contrastive -----------------------------------------------------------------------------------


@pytest.mark.parametrize("weighting", all_but({"supervised", "v1", "v3"}, losses.WEIGHTINGS.keys()))
def test_supcon(weighting, train, fairseq, commands, data, tmp_path):
    """Train, then score without the prototypes' file."""
    options = f"--data {data} {SUPCON} --supcon-weighting {weighting} --max-epoch 1"
    log, _ = train("supcon", options)
    figures = log.figures("train")
    added = 0.5 * figures["contrastive_loss"]
    assert figures["loss"] == pytest.approx(figures["primary_loss"] + added, abs=2e-3)
    assert figures["difficulty"] == pytest.approx(mean_distance(data), rel=1e-4)
    if weighting in WEIGH_ANCHORS:
        assert figures["anchor_weight_spread"] > 0.01

    (data / "prototypes.json").unlink()
    score = f"--path {tmp_path / 'supcon' / 'checkpoint_last.pt'} --data {data} --batch-size 3"
    again = fairseq("validate", commands["validate"], score, "--valid-subset valid")
    for name in ("loss", "uar", "macro_f1"):
        assert again.figures("valid")[name] == log.figures("valid")[name]


WEIGH_ANCHORS = ("v1", "v2", "v3")


def mean_distance(data):
    """Of the train rows to the prototypes of their emotions."""
    centers = json.loads((data / "prototypes.json").read_text())["all"]["prototypes"]
    distances = [
        math.dist(
            [getattr(row, axis) for axis in AXES], [centers[row.emotion][axis] for axis in AXES]
        )
        for row in read_manifest(data / "train.tsv")
    ]
    return sum(distances) / len(distances)


POWERLESS = ("v1 --prototype-alpha 0", "v2 --prototype-beta 0", "v3 --prototype-threshold 9")


def test_without_force_a_weighting_is_plain_supcon(train, data):
    plain, weighted, *powerless = (
        train(str(number), f"--data {data} {SUPCON} --max-update 3 --supcon-weighting {weighting}")[
            1
        ]
        for number, weighting in enumerate(("supervised", "v1", *POWERLESS))
    )
    assert all(same_weights(plain, one) for one in powerless)
    assert not same_weights(plain, weighted)


# -- distillation ----------------------------------------------------------------------------------

# The teacher hears what its student does not.
TEACHER = """--modality text+speech --speech-input log_mel --batch-size 8 --max-update 2
    --disable-validation"""
METHODS = {
    "kd": "--distillation kd",
    "dist": "--distillation dist --dist-intra-weight 2",
    "vad": "",
}


@pytest.mark.parametrize("method", all_but({"kd"}, METHODS.keys()))
def test_distillation(method, train, trained, fairseq, commands, toy_corpus, tmp_path):
    """From a checkpoint, or from its predictions; to be scored when the teacher is gone."""
    target = "--target vad" if method == "vad" else ""
    teacher = tmp_path / "teacher.pt"
    teacher.write_bytes(trained(f"{TEACHER} {target}").read_bytes())
    answers = tmp_path / "answers.tsv"
    score = f"--data {toy_corpus} --valid-subset train --batch-size 5 --save-predictions {answers}"
    fairseq("validate", commands["validate"], score, f"--path {teacher}")

    # With sgd, so that what the file rounds is not blown up.
    student = f"--data {toy_corpus} {TEXT} {target} --optimizer sgd --max-epoch 2"
    _, alone = train("alone", student)
    student += f" --criterion emotion_distillation {METHODS[method]}"
    log, asked = train("asked", student, f"--teacher-checkpoint {teacher}")
    _, read = train("read", student, f"--teacher-predictions {answers}")
    assert log.figures("train")["distillation_loss"] > 0
    assert largest_difference(asked, read) < 1e-6
    assert largest_difference(asked, alone) > 1e-4

    teacher.unlink()
    score = f"--path {tmp_path / 'asked' / 'checkpoint_last.pt'} --data {toy_corpus}"
    again = fairseq("validate", commands["validate"], score, "--valid-subset valid --batch-size 3")
    assert again.figures("valid")["loss"] == log.figures("valid")["loss"]


def largest_difference(one, other):
    return max(float((one["model"][key] - other["model"][key]).abs().max()) for key in one["model"])


# -- several targets -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "weighting",
    [pytest.param("fixed --auxiliary-weights vad=0.5", marks=pytest.mark.extended), "uncertainty"],
)
def test_several_targets(weighting, train, fairseq, commands, toy_corpus, tmp_path):
    targets = f"--auxiliary-targets vad,sentiment --auxiliary-weighting {weighting}"
    judge = "--best-checkpoint-metric ccc@vad --maximize-best-checkpoint-metric"
    options = f"--data {toy_corpus} {TEXT} --criterion emotion_classification --max-epoch 3"
    log, state = train("several", options, targets, judge)
    best = max(line["ccc@vad"] for line in log.all_figures("valid"))
    assert state["extra_state"]["best"] == pytest.approx(best, abs=1e-5)
    assert {"vad_loss", "sentiment_loss", "primary_loss"} <= log.figures("train").keys()

    score = f"--path {tmp_path / 'several' / 'checkpoint_last.pt'} --data {toy_corpus}"
    for size in (1, 5):
        again = fairseq("validate", commands["validate"], score, f"--batch-size {size}")
        found = again.figures("valid")
        assert {"uar", "ccc@vad", "ccc_arousal@vad", "mae@vad", "uar@sentiment"} <= found.keys()
        for name in ("loss", "uar", "ccc@vad", "rmse@vad", "uar@sentiment"):
            assert found[name] == pytest.approx(log.figures("valid")[name], abs=1e-5)


# -- the command line ------------------------------------------------------------------------------


CRITERIONS = {
    "emotion_supcon": EmotionSupConConfig,
    "emotion_distillation": EmotionDistillationConfig,
}


@pytest.mark.parametrize("criterion", CRITERIONS)
def test_help(criterion, run):
    """It lists what the task, the model and the criterion add, which fairseq alone does not."""
    shown = run("train", f"--criterion {criterion} --help")
    assert shown.code == 0, shown.errors[-2000:]
    listed = {*re.findall(r"^  (--[\w-]+)", shown.log, re.MULTILINE)}
    for group in (CRITERIONS[criterion], EmotionPredictionConfig, RobertaEMOConfig):
        names = {f"--{option.name.replace('_', '-')}" for option in fields(group)}
        assert names - listed == {"---name"}


def without_speakers(rows):
    return [replace(row, speaker=None) for row in rows]


MISTAKES = {
    "no prototypes": (f"{SUPCON} --supcon-weighting v1", "python -m data_prep.fit_prototypes"),
    "no positives": (f"{SUPCON} --batch-size 1", "--supcon-queue"),
    "idle": (f"{SUPCON} --prototype-alpha 2", "--prototype-alpha does not act"),
    "idle prototypes": (f"{TEXT} --prototypes p.json", "--prototypes does not act"),
    "idle weights": (f"{TEXT} --auxiliary-weighting uncertainty", "--auxiliary-targets"),
    "no teacher": (DISTILLATION, "--teacher-checkpoint"),
    "absent teacher": (f"{DISTILLATION} --teacher-checkpoint gone.pt", "gone.pt"),
    "absent answers": (f"{DISTILLATION} --teacher-predictions gone.tsv", "gone.tsv"),
    "target twice": (f"{TEXT} --auxiliary-targets emotion", "emotion is predicted anyway"),
    "one corpus": (f"{TEXT} --corpus-adversary-weight 1", "column corpus"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(mistake, run, toy_corpus):
    options, named = MISTAKES[mistake]
    criterion = "" if "--criterion" in options else "--criterion emotion_classification"
    finished = run("train", f"--data {toy_corpus} {criterion} {options} --max-update 1")
    assert_one_sentence(finished, named)


def test_teacher_of_another_target(run, trained, toy_corpus):
    teacher = trained(f"{TEACHER} --target vad")
    options = f"--data {toy_corpus} {DISTILLATION} --teacher-checkpoint {teacher}"
    assert_one_sentence(run("train", options), "it predicts vad", "its student emotion")


def test_prototypes_of_one_corpus(run, data):
    options = f"--data {data} {SUPCON} --supcon-weighting v1 --prototype-scope corpus"
    assert_one_sentence(run("train", options), "--prototype-scope corpus", "prototypes.json")


def test_adversary_without_speakers(run, copy_toy):
    data = copy_toy(lambda _, rows: without_speakers(rows))
    options = f"--data {data} {SUPCON} --speaker-adversary-weight 1"
    assert_one_sentence(run("train", options), "--speaker-adversary-weight", "column speaker")
