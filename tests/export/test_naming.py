"""Names of model folders."""

import itertools

import pytest
from codes import raises
from huggingface_hub.utils import validate_repo_id

from emo_fairseq.export.naming import (
    TARGET_LETTERS,
    TUNING_LETTERS,
    backbone,
    folder_name,
    model_title,
    title_of,
)
from emo_fairseq.inference.checkpoint import read_checkpoint
from emo_fairseq.targets import TARGETS


def test_every_target_has_a_letter_of_its_own():
    assert TARGET_LETTERS.keys() == TARGETS.keys()
    assert len(set(TARGET_LETTERS.values())) == len(TARGETS)


def test_models_that_differ_have_names_that_differ():
    names = [
        model_title(target, {"text": "hf:a", "speech": encoder}, {"text": a, "speech": b}, fusion)
        for target, encoder, a, b, fusion in itertools.product(
            TARGETS, ("hf:b", "scratch:tiny"), TUNING_LETTERS, TUNING_LETTERS, ("gated", "lmf")
        )
    ]
    assert len(set(names)) == len(names)
    assert len(set(map(folder_name, names))) == len(names)
    for name in map(folder_name, names):
        validate_repo_id(f"org/{name}")
    assert "T+A--EFL--lmf(a+b)" in names
    assert "T+A--ST--gated(a+scratch-tiny)" in names


@pytest.mark.parametrize(
    "spec", ["hf:../../x y/$(z)", "hf:./", "hf:C:\\models\\b", "hf:..", "hf:名"]
)
def test_backbones_are_fit_for_file_systems(spec):
    name = backbone(spec)
    assert name
    assert name.strip(".-") == name
    assert not set(name) & set("/\\: $()'\"\n")


def test_a_name_stays_short_enough_for_the_hub():
    encoders = {"text": f"hf:{'a' * 300}", "speech": f"hf:{'b' * 300}"}
    tuning = dict.fromkeys(encoders, "full")
    name = folder_name(model_title("emotion", encoders, tuning, "gated"))
    validate_repo_id(name)
    assert len(name) == 96


def test_an_unknown_target_is_refused():
    with raises("letter-missing"):
        model_title("mood", {"text": "hf:a"}, {"text": "full"}, "concat")


def test_the_name_of_a_checkpoint(trained_models):
    options = "--modality text+speech --speech-input log_mel --target vad --fusion lmf"
    cfg = read_checkpoint(trained_models.checkpoint(options))["cfg"]
    name = title_of(cfg.task, cfg.model, ("text", "speech"), "vad")
    assert name == "T+A--VT--lmf(scratch-tiny+scratch-tiny)"
