"""The table of targets, the grammar of --modality, and the legacy flags mapped onto both."""

from types import SimpleNamespace
from typing import Any

import pytest
from codes import raises

from emo_fairseq.modalities import parse_modalities
from emo_fairseq.options import legacy_flags
from emo_fairseq.targets import TARGETS, TargetKind

FOUR = ("neutral", "sad", "angry", "happy")
DEFAULTS = {
    "modality": None,
    "a_only": False,
    "t_only": False,
    "v_only": False,
    "all_in": False,
    "target": None,
    "binary_target_iemocap": False,
    "softmax_target_meld": False,
    "regression_target_mos": False,
    "regression_target": False,
    "eval_metric": False,
    "no_shuffle": False,
}


def options(**given: Any) -> SimpleNamespace:
    assert given.keys() <= DEFAULTS.keys()
    return SimpleNamespace(**{**DEFAULTS, **given})


@pytest.mark.parametrize(
    ("name", "kind", "width"),
    [
        ("emotion", TargetKind.CATEGORICAL, 4),
        ("emotion_distribution", TargetKind.DISTRIBUTION, 4),
        ("sentiment", TargetKind.CATEGORICAL, 4),
        ("binary_emotion", TargetKind.BINARY_PER_LABEL, 8),
        ("sentiment_score", TargetKind.CONTINUOUS, 1),
        ("vad", TargetKind.CONTINUOUS, 3),
    ],
)
def test_kind_and_width_of_each_target(name: str, kind: TargetKind, width: int) -> None:
    target = TARGETS[name]
    assert target.name == name
    assert target.kind is kind
    assert target.n_outputs(n_labels=4) == width
    assert target.has_labels == (kind is not TargetKind.CONTINUOUS)


def test_every_target_is_tested_here() -> None:
    names = {"emotion", "emotion_distribution", "sentiment", "binary_emotion"}
    assert set(TARGETS) == names | {"sentiment_score", "vad"}


@pytest.mark.parametrize("fitting", [-1, 8])
def test_fitting_num_classes_pass(fitting: int) -> None:
    TARGETS["binary_emotion"].check_num_classes(fitting, FOUR)


@pytest.mark.parametrize(
    ("name", "wrong", "named"),
    [
        ("emotion", 8, "4 outputs (neutral, sad, angry, happy)"),
        ("emotion", 0, "--num-classes 0"),
        ("binary_emotion", 4, "has 8 outputs"),
        ("vad", 1, "3 outputs (valence, arousal, dominance)"),
        ("sentiment_score", 7, "1 outputs (sentiment_score)"),
    ],
)
def test_num_classes_that_do_not_fit_are_refused(name: str, wrong: int, named: str) -> None:
    with raises("num-classes-mismatch") as error:
        TARGETS[name].check_num_classes(wrong, FOUR)
    assert named in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("text", ("text",)),
        ("speech", ("speech",)),
        ("speech+text", ("text", "speech")),
        ("T", ("text",)),
        ("A", ("speech",)),
        ("A + T", ("text", "speech")),
        ("T+speech", ("text", "speech")),
    ],
)
def test_modalities_are_parsed_in_one_order(text: str, expected: tuple[str, ...]) -> None:
    assert parse_modalities(text) == expected


@pytest.mark.parametrize("text", ["", "smell", "text,speech", "text+", "text+T", "a"])
def test_modalities_not_understood_are_refused(text: str) -> None:
    with raises("modality-unknown"):
        parse_modalities(text)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("text", "speech")),
        ({"a_only": True}, ("speech",)),
        ({"t_only": True}, ("text",)),
        ({"a_only": True, "t_only": True}, ("text", "speech")),
        ({"v_only": True}, ("video",)),
        ({"all_in": True}, ("text", "speech", "video")),
        ({"all_in": True, "a_only": True}, ("text", "speech", "video")),
        ({"all_in": True, "modality": "T+A+V"}, ("text", "speech", "video")),
        ({"modality": "A"}, ("speech",)),
        ({"modality": "text", "t_only": True}, ("text",)),
        ({"modality": "T+A", "t_only": True, "a_only": True}, ("text", "speech")),
    ],
)
def test_modalities_of_flags(given: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert legacy_flags.modalities(options(**given)) == expected


@pytest.mark.parametrize(
    "given",
    [
        {"modality": "text", "a_only": True},
        {"modality": "T+A", "t_only": True},
        {"modality": "T+A", "all_in": True},
        {"modality": "text", "a_only": True, "t_only": True},
    ],
)
def test_contradicting_modalities_are_refused(given: dict[str, Any]) -> None:
    with raises("modality-contradictory"):
        legacy_flags.modalities(options(**given))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "emotion"),
        ({"target": "vad"}, "vad"),
        ({"binary_target_iemocap": True}, "binary_emotion"),
        ({"softmax_target_meld": True}, "emotion"),
        ({"regression_target_mos": True}, "sentiment_score"),
        ({"regression_target": True}, "vad"),
        ({"regression_target": True, "target": "vad"}, "vad"),
    ],
)
def test_target_of_flags(given: dict[str, Any], expected: str) -> None:
    assert legacy_flags.target(options(**given)) is TARGETS[expected]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"target": "emotion", "binary_target_iemocap": True}, "binary_emotion and emotion"),
        ({"regression_target": True, "regression_target_mos": True}, "sentiment_score and vad"),
    ],
)
def test_contradicting_targets_are_refused(given: dict[str, Any], named: str) -> None:
    with raises("target-contradictory") as error:
        legacy_flags.target(options(**given))
    assert named in str(error.value)


def test_contradicting_targets_are_refused_at_setup(make_task: Any, legacy_corpus: Any) -> None:
    """In a real configuration a choice is fairseq's own enumeration, and no string."""
    with raises("target-contradictory"):
        make_task(legacy_corpus, target="emotion", binary_target_iemocap=True)


def test_eval_metric_is_refused_with_its_reason() -> None:
    with raises("eval-metric-refused"):
        legacy_flags.target(options(eval_metric=True))


def test_no_shuffle_is_refused_with_its_equivalents() -> None:
    with raises("no-shuffle-refused") as error:
        legacy_flags.target(options(no_shuffle=True))
    assert "--curriculum-order preset" in str(error.value)
