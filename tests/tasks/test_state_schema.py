"""The task's part of a checkpoint: what is refused before anything is made of it."""

import copy
from typing import Any

import pytest
import torch
from codes import raises
from document_mutations import mutations

from emo_fairseq.checkpoint_schema import check_task_state
from emo_fairseq.errors import UsageError

NAN = float("nan")


def state() -> dict[str, Any]:
    """That of a model of text and speech with all parts."""
    points = torch.tensor([[[0.5, 0.25, 1.0], [NAN, NAN, NAN]]])
    return {
        "labels": ["neutral", "angry"],
        "encoders": {
            "text": {"spec": "scratch:", "input": "tokens", "architecture": {"id2label": {0: "a"}}},
            "speech": {"spec": "features:wavlm", "input": "frames", "max_tokens": 3},
        },
        "vocabulary": {
            "text": {
                "size": 9,
                "digest": "ab",
                "source": "dict.txt",
                "specials": {"init": 0, "pad": 1, "separator": 2, "unknown": 3},
            }
        },
        "frame_statistics": {"speech": {"mean": [0.0, 1.0], "std": [1.0, 2.0]}},
        "auxiliary_labels": {"vad": ["valence", "arousal", "dominance"]},
        "class_counts": [3, 4],
        "corpus": "toy",
        "fold": "k_fold/1",
        "prototypes": {"fitted": points, "values": points.clone(), "corpora": []},
        "embedding_queue": [torch.ones(2, 3), torch.zeros(2), torch.zeros(2)],
        "confidence": {"epoch": 2, "values": torch.zeros(7)},
        "patience": {"best": 0.5, "num_runs": 1},
    }


def test_a_whole_state_and_the_least_one_are_accepted() -> None:
    check_task_state(state(), "a.pt")
    unknown = torch.tensor([NAN, 0.5], dtype=torch.float64)  # difficulty of a row without VAD
    check_task_state(set_in("embedding_queue", [torch.ones(2, 3), torch.ones(2), unknown]), "a.pt")
    check_task_state({"labels": ["a"], "encoders": {}}, "a.pt")


REFUSED = [
    *mutations(
        {k: v for k, v in state().items() if k not in ("prototypes", "confidence")},
        required=("labels", "encoders"),
        free=("architecture", "embedding_queue"),
    )
]


@pytest.mark.parametrize(
    ("changed", "fragment"),
    [case[1:] for case in REFUSED if case[0] != "too deep"],
    ids=[case[0] for case in REFUSED if case[0] != "too deep"],
)
def test_a_part_of_another_form_is_named(changed: Any, fragment: str) -> None:
    with pytest.raises(UsageError) as error:
        check_task_state(changed, "a.pt")
    message = str(error.value)
    assert message.startswith("a.pt: task_state")
    assert fragment in message
    assert message.endswith("; train it again, or take another checkpoint of the training")


def set_in(path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(state())
    *folders, last = path.split("/")
    inside: Any = changed
    for name in folders:
        inside = inside[name]
    inside[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "fragment"),
    [
        ("labels", ["sad", "sad"], "labels: sad is there twice"),
        ("labels", [], "labels: there is none"),
        ("labels", ["a", ""], "without a name"),
        ("class_counts", [1, 2, 3], "3 numbers for 2 labels"),
        ("class_counts", [1, -2], "class_counts[1]"),
        ("encoders/smell", {"spec": "a", "input": "tokens"}, "'smell' is none of text, speech"),
        ("encoders/text/input", "smells", "encoders.text.input: 'smells' is none of tokens"),
        ("encoders/text/vocabulary_size", 10**12, "encoders.text.vocabulary_size is 10000000"),
        ("vocabulary/text/size", 10**12, "vocabulary.text.size is 1000000000000"),
        ("vocabulary/text/size", 3, "3 is the id of a special token, of 3 symbols"),
        ("frame_statistics/speech/std", [1.0, 0.0], "frame_statistics.speech.std[1] is 0.0"),
        ("frame_statistics/speech/std", [1.0], "mean has 2 numbers and std 1"),
        ("frame_statistics/speech/mean", [NAN, 1.0], "mean[0] is nan where a finite number"),
        ("prototypes/values", torch.zeros(1, 3, 3), "fitted is of shape (1, 2, 3) and values"),
        ("prototypes/values", torch.zeros(2, 3), "is of shape (2, 3), and not"),
        ("prototypes/values", torch.tensor([[[NAN, 0, 0], [0.0, 0, 0]]]), "some of its axes"),
        ("prototypes/values", torch.full((1, 2, 3), float("inf")), "infinity"),
        ("prototypes/values", [[[0.0] * 3] * 2], "a tensor is expected, and it is list"),
        ("prototypes/corpora", ["a", "b"], "for 3 scopes"),
        ("prototypes/quantiles", {0.5: NAN}, "prototypes.quantiles"),
        ("confidence/values", torch.full((3,), NAN), "confidence.values: holds NaN"),
        ("confidence/epoch", None, "confidence: epoch or values is missing"),
        ("embedding_queue", [torch.full((3, 1), NAN)], "embedding_queue[0]: holds NaN"),
        ("embedding_queue", [torch.full((3,), float("inf"))], "embedding_queue[0]: holds inf"),
        ("patience/best", NAN, "patience.best is nan where a finite number"),
    ],
)
def test_a_value_that_no_training_writes_is_named(path: str, value: Any, fragment: str) -> None:
    with pytest.raises(UsageError) as error:
        check_task_state(set_in(path, value), "a.pt")
    assert fragment in str(error.value)
    assert "\n" not in str(error.value)


def test_labels_by_the_ten_thousand_are_compared_in_one_pass() -> None:
    many = [str(number) for number in range(100_000)]  # each with each would take minutes
    names = {"labels": many, "class_counts": None}
    check_task_state({**state(), **names}, "a.pt")
    with raises("document-invalid"):
        check_task_state({**state(), **names, "labels": [*many[1:], "7"]}, "a.pt")
