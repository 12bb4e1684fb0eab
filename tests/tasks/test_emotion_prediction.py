"""The task: what it settles at set-up, what it refuses there, and its state in a checkpoint."""

import copy
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from codes import raises
from token_folders import tokens_of

from data_prep.schema import Utterance
from emo_fairseq.data.vocabulary import ROBERTA_SIZE

MakeTask = Callable[..., Any]
CopyToy = Callable[..., Path]


def test_labels_and_counts_come_from_the_train_split(toy_corpus: Path, make_task: MakeTask) -> None:
    task = make_task(toy_corpus, modality="text")
    assert task.labels == ["neutral", "happy", "sad", "angry"]
    assert task.class_counts == [8, 8, 8, 8]
    assert task.n_outputs == 4
    assert set(task.task_state.vocabularies) == {"text"}


def test_axes_are_the_labels_of_numbers(toy_corpus: Path, make_task: MakeTask) -> None:
    task = make_task(toy_corpus, modality="text", target="vad")
    assert task.labels == ["valence", "arousal", "dominance"]
    assert task.n_outputs == 3


def test_the_seeds_flags_on_the_seeds_layout(legacy_corpus: Path, make_task: MakeTask) -> None:
    flags = {"a_only": True, "t_only": True, "binary_target_iemocap": True}
    task = make_task(legacy_corpus, num_classes=8, **flags)
    assert task.task_state.modalities == ("text", "speech")
    assert task.labels == ["neutral", "sad", "angry", "happy"]
    assert task.class_counts == [2, 2, 2, 4]
    assert task.task_state.vocabularies["text"].size == ROBERTA_SIZE
    assert task.task_state.vocabularies["speech"].size == 32
    task.load_dataset("test")
    assert len(task.dataset("test")) == 10


def test_the_splits_of_meld_have_the_same_numbers(
    write_legacy: Callable[..., Path], make_task: MakeTask
) -> None:
    """Which are those of other utterances, so that nothing has leaked."""
    labels = {f"dia0_utt{number}": label for number, label in enumerate(["joy", "anger"] * 2)}
    for split in ("train", "valid", "test"):
        folder = write_legacy(split, labels, size=[*labels])
    task = make_task(folder)
    test = task.data.split("test")
    assert [row.id for row in test.utterances][:2] == ["test_dia0_utt0", "test_dia0_utt1"]
    task.scoring_guard.check(test, task.provenance(), None)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"num_classes": 7}, "num-classes-mismatch"),
        ({"target": "binary_emotion", "num_classes": 4}, "num-classes-mismatch"),
        ({"modality": "smell"}, "modality-unknown"),
        ({"modality": "video"}, "encoder-missing"),
        ({"eval_metric": True}, "eval-metric-refused"),
        ({"max_text_tokens": 1}, "option-out-of-range"),
        ({"modality": "A", "max_speech_seconds": -1.0}, "max-seconds-too-small"),
        ({"modality": "A", "max_speech_seconds": 0.01}, "max-seconds-too-small"),
        ({"data": "???"}, "data-missing"),
    ],
)
def test_options_that_cannot_be_are_refused(
    toy_corpus: Path, make_task: MakeTask, options: dict[str, Any], code: str
) -> None:
    with raises(code):
        make_task(**{"data": toy_corpus, "modality": "text", **options}).load_dataset("train")


def test_a_corpus_without_the_labels_is_refused(copy_toy: CopyToy, make_task: MakeTask) -> None:
    data = copy_toy()
    card = yaml.safe_load((data / "corpus.yaml").read_text())
    del card["labels"]["sentiment"]
    (data / "corpus.yaml").write_text(yaml.safe_dump(card))
    with raises("labels-missing"):
        make_task(data, modality="text", target="sentiment")


def test_waveforms_are_not_in_the_seeds_layout(legacy_corpus: Path, make_task: MakeTask) -> None:
    with raises("input-not-stored"):
        make_task(legacy_corpus, speech_input="waveform")


def test_text_that_is_not_tokenized_is_refused(copy_toy: CopyToy, make_task: MakeTask) -> None:
    data = copy_toy()
    (data / "text").unlink()
    with raises("dictionary-missing"):
        make_task(data, modality="text")


def test_rows_added_after_tokenizing_are_refused(copy_toy: CopyToy, make_task: MakeTask) -> None:
    def add(split: str, rows: list[Utterance]) -> Sequence[Utterance]:
        return [*rows, replace(rows[0], id=f"{split}_new")]

    task = make_task(copy_toy(add), modality="text")
    with raises("tokens-mismatch"):
        task.load_dataset("train")


def test_a_modality_that_no_row_has_is_refused(copy_toy: CopyToy, make_task: MakeTask) -> None:
    """Else an encoder would be trained on placeholders, and nobody would be told."""

    def mute(split: str, rows: list[Utterance]) -> Sequence[Utterance]:
        return [replace(row, audio=None, n_samples=None) for row in rows]

    task = make_task(copy_toy(mute))
    with raises("modality-absent"):
        task.load_dataset("train")


def test_the_log_counts_each_modality(
    copy_toy: CopyToy, make_task: MakeTask, caplog: pytest.LogCaptureFixture
) -> None:
    def mute_one(split: str, rows: list[Utterance]) -> Sequence[Utterance]:
        return [replace(rows[0], audio=None, n_samples=None), *rows[1:]]

    task = make_task(copy_toy(mute_one))
    with caplog.at_level(logging.INFO):
        task.load_dataset("train")
    assert "train: 32 utterances, 32 with text, 31 with speech" in caplog.text


# -- state -----------------------------------------------------------------------------------------


def test_a_restored_task_needs_no_train_split(
    toy_corpus: Path, copy_toy: CopyToy, make_task: MakeTask
) -> None:
    """Labels, vocabulary and statistics come from the checkpoint, as in fairseq-validate."""
    trained = make_task(toy_corpus, speech_input="log_mel")
    saved = trained.state_dict()
    data = copy_toy()
    (data / "train.tsv").unlink()
    restored = make_task(data, from_checkpoint=True, speech_input="log_mel")
    restored.load_state_dict(saved)
    restored.load_dataset("test")
    assert restored.labels == trained.labels
    assert restored.task_state == trained.task_state


def test_the_state_is_plain_values(toy_corpus: Path, make_task: MakeTask) -> None:
    """So that a checkpoint loads with weights-only safety."""

    def is_plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(type(key) is str and is_plain(item) for key, item in value.items())
        if isinstance(value, list):
            return all(map(is_plain, value))
        return value is None or type(value) in (str, int, float, bool)

    state = make_task(toy_corpus, speech_input="log_mel").state_dict()
    assert {"labels", "class_counts", "encoders", "vocabulary", "frame_statistics"} <= state.keys()
    assert all(map(is_plain, state.values()))


def test_a_checkpoint_of_other_labels_is_refused(toy_corpus: Path, make_task: MakeTask) -> None:
    task = make_task(toy_corpus, modality="text")
    state = {**task.state_dict(), "labels": ["joy", "anger"]}
    with raises("checkpoint-labels-other"):
        task.load_state_dict(state)


def test_a_state_of_another_task_is_refused(toy_corpus: Path, make_task: MakeTask) -> None:
    with raises("task-other"):
        make_task(toy_corpus, modality="text").load_state_dict({"target_dictionary": None})


def test_data_tokenized_with_another_dictionary_are_refused(
    toy_corpus: Path, copy_toy: CopyToy, make_task: MakeTask
) -> None:
    saved = make_task(toy_corpus, modality="text").state_dict()
    data = copy_toy()
    (data / "text").unlink()
    shutil.copytree(toy_corpus / "text", data / "text")
    folder = tokens_of(data)
    (folder / "tokenizer.yaml").unlink()  # or the dictionary would be a damaged one
    dictionary = folder / "dict.txt"
    lines = dictionary.read_text().splitlines()
    dictionary.write_text("\n".join([*lines[1:], lines[0]]) + "\n")
    restored = make_task(data, from_checkpoint=True, modality="text")
    restored.load_state_dict(saved)
    with raises("vocabulary-other"):
        restored.load_dataset("test")


def test_auxiliary_labels_of_another_corpus_are_missing_truth(
    toy_corpus: Path, copy_toy: CopyToy, make_task: MakeTask, caplog: pytest.LogCaptureFixture
) -> None:
    """Scored, the rows stay, without that truth; a label of no corpus is a mistake as ever."""

    def mix(split: str, rows: list[Utterance]) -> Sequence[Utterance]:
        return [*rows[:-2], *(replace(row, sentiment="mixed") for row in rows[-2:])]

    options = {"modality": "text", "auxiliary_targets": "sentiment"}
    state = make_task(toy_corpus, **options).state_dict()
    data = copy_toy(mix)
    scored = make_task(data, from_checkpoint=True, **options)
    scored.load_state_dict(state)
    with raises("label-unknown"):
        scored.load_dataset("test")
    card = yaml.safe_load((data / "corpus.yaml").read_text())
    card["labels"]["sentiment"].append("mixed")
    (data / "corpus.yaml").write_text(yaml.safe_dump(card))
    scored.load_dataset("test")
    found = [scored.dataset("test")[row]["annotations.sentiment"] for row in range(12)]
    assert [int(label) for label in found[-2:]] == [-1, -1]
    assert min(int(label) for label in found[:-2]) >= 0
    assert "2 rows have sentiment mixed, which is not known here" in caplog.text


def with_gender(split: str, rows: list[Utterance]) -> Sequence[Utterance]:
    """Rows with a column of the corpus's own, of which the test split has one value more."""
    genders = ("male", "female", "other" if split == "test" else None)
    return [
        replace(row, extra={"gender": gender} if (gender := genders[number % 3]) else {})
        for number, row in enumerate(rows)
    ]


def test_a_column_of_labels_is_an_auxiliary_target(
    copy_toy: CopyToy, make_task: MakeTask, caplog: pytest.LogCaptureFixture
) -> None:
    data = copy_toy(with_gender)
    options = {"modality": "text", "auxiliary_targets": "gender,vad"}
    task = make_task(data, **options)
    assert task.task_state.auxiliary_labels["gender"] == ["female", "male"]
    assert task.auxiliary["gender"].n_outputs == 2
    task.load_dataset("train")
    rows = [task.dataset("train")[row]["annotations.gender"] for row in range(3)]
    assert [int(label) for label in rows] == [1, 0, -1]
    again = make_task(data, from_checkpoint=True, **options)
    again.load_state_dict(task.state_dict())
    again.load_dataset("test")
    rows = [again.dataset("test")[row]["annotations.gender"] for row in range(3)]
    assert [int(label) for label in rows] == [1, 0, -1]
    assert "have gender other, which is not known here" in caplog.text


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("accent", "column-empty"),  # there is no such column
        ("text", "target-unknown"),  # of which every row has another value
        ("n_samples", "target-unknown"),
        ("a.b", "target-unknown"),
        ("emotion_distribution", "target-unknown"),
    ],
)
def test_what_is_no_column_of_labels_is_refused(
    name: str, code: str, copy_toy: CopyToy, make_task: MakeTask
) -> None:
    with raises(code):
        make_task(copy_toy(with_gender), modality="text", auxiliary_targets=name)


def test_predictions_are_not_saved_while_training(toy_corpus: Path, make_task: MakeTask) -> None:
    with raises("option-idle") as error:
        make_task(toy_corpus, modality="text", save_predictions="p.tsv")
    assert "--save-predictions" in str(error.value)


def test_a_step_without_a_batch_is_empty(toy_corpus: Path, make_task: MakeTask) -> None:
    task = make_task(toy_corpus, modality="text")
    assert task.valid_step({}, None, None) == (0.0, 0, {})


def test_valid_rows_take_over_the_statistics_of_a_checkpoint(toy_corpus, make_task):
    """fairseq loads the valid split before the checkpoint that a training goes on from."""
    options = {"modality": "speech", "speech_input": "log_mel"}
    task = make_task(toy_corpus, **options)
    task.load_dataset("valid")
    before = task.dataset("valid")[0]["net_input.speech"][0]
    state = copy.deepcopy(task.state_dict())
    statistics = state["frame_statistics"]["speech"]
    statistics["mean"] = [m + 1.0 for m in statistics["mean"]]
    std = torch.tensor(statistics["std"])
    task.load_state_dict(state)
    after = task.dataset("valid")[0]["net_input.speech"][0]
    torch.testing.assert_close(after, before - 1.0 / std)
