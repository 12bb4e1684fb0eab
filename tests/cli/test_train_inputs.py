"""Modalities and target of a training that does not name them."""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from codes import raises

from data_prep.schema import Utterance, write_manifest
from emo_fairseq.cli.train.data import DataFolder
from emo_fairseq.cli.train.inputs import choose_inputs


@pytest.fixture
def choose(write_data_dir):
    """The inputs that are chosen for some rows, as train, valid and, unless told, test."""

    def choose(rows, test=True, **options):
        emotions = {row.emotion for row in rows} - {None}
        sentiments = {row.sentiment for row in rows} - {None}
        named = {"emotion": sorted(emotions), "sentiment": sorted(sentiments)}
        splits = ("train", "valid", "test") if test else ("train", "valid")
        folder = write_data_dir(
            {split: [replace(r, id=f"{split}-{r.id}") for r in rows] for split in splits},
            **{key: labels for key, labels in named.items() if labels},
        )
        nothing = dict.fromkeys(
            ["fold", "modality", "target", "text_encoder", "speech_encoder", "video_encoder"]
        )
        return choose_inputs(
            argparse.Namespace(**{**nothing, **options}), DataFolder("small", Path(folder))
        )

    return choose


def rows_with(n: int = 20, **fields: object) -> list[Utterance]:
    """Rows with the same fields; a callable makes the field of a row of its number."""
    return [
        Utterance(f"u{i}", **{k: v(i) if callable(v) else v for k, v in fields.items()})  # type: ignore[arg-type]
        for i in range(n)
    ]


def texts(i: int) -> str:
    return f"sentence {i}"


def clips(i: int) -> str:
    return f"{i}.wav"


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"text": texts}, ("text",)),
        ({"audio": clips, "n_samples": 16_000}, ("speech",)),
        ({"text": texts, "audio": clips, "n_samples": 16_000}, ("text", "speech")),
    ],
)
def test_modalities_are_those_of_the_data(fields, wanted, choose):
    inputs = choose(rows_with(emotion="sad", **fields))
    assert inputs.modalities == wanted
    assert inputs.n_rows == 20
    assert any(note.startswith("--modality ") for note in inputs.notes), "it is printed"
    assert inputs.seconds == (60.0 if "audio" in fields else 0.0)


def test_prompts_that_are_read_out_are_no_text(choose):
    rows = rows_with(text=lambda i: f"prompt {i % 2}", audio=clips, n_samples=1, emotion="sad")
    inputs = choose(rows)
    assert inputs.modalities == ("speech",)
    assert "20 rows have 2 different texts" in inputs.notes[0]
    assert choose(rows, modality="T+A").modalities == ("text", "speech")
    assert choose(rows, text_encoder="hf:m").modalities == ("text", "speech")


def test_rows_without_features_are_not_counted_as_used(choose, tmp_path):
    rows = rows_with(audio=clips, n_samples=1, emotion=lambda i: "sad" if i else None)
    features = tmp_path / "small" / "features" / "mine"
    features.mkdir(parents=True)
    for name in ("train-u0", "train-u1", "train-u2", "test-u3"):
        np.save(features / f"{name}.npy", np.zeros((2, 3), np.float32))
    chosen = choose(rows, modality="A", speech_encoder="features:mine")
    assert chosen.usable == {"train": (2, 20), "valid": (0, 20), "test": (1, 20)}
    both = choose(rows, modality="A+V", video_encoder="features:mine")
    assert both.usable["test"] == (19, 20), "the others have audio"


def test_features_of_the_same_id_in_another_split_are_not_counted(choose, tmp_path):
    rows = rows_with(audio=clips, n_samples=1, emotion="sad")
    nothing = choose(rows, modality="A", speech_encoder="features:mine")
    assert nothing.usable["train"] == (0, 20)
    data = tmp_path / "small"
    for split in ("train", "valid", "test"):
        write_manifest(data / f"{split}.tsv", rows)
    for split, n_rows in (("train", 20), ("valid", 3), ("test", 1)):
        folder = data / "features" / "mine" / split
        folder.mkdir(parents=True)
        for number in range(n_rows):
            np.save(folder / f"u{number}.npy", np.zeros((2, 3), np.float32))
    names = ("fold", "target", "text_encoder", "video_encoder")
    options = {"modality": "A", "speech_encoder": "features:mine", **dict.fromkeys(names)}
    chosen = choose_inputs(argparse.Namespace(**options), DataFolder("small", data))
    assert chosen.usable == {"train": (20, 20), "valid": (3, 20), "test": (1, 20)}


def test_features_are_read_where_an_encoder_names_them(choose):
    inputs = choose(rows_with(text=texts, emotion="sad"), video_encoder="features:faces")
    assert inputs.modalities == ("text", "video")


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"emotion": "sad", "sentiment": "negative", "valence": 0.5}, "emotion"),
        ({"sentiment": "negative"}, "sentiment"),
        ({"arousal": 0.5}, "vad"),
        ({"sentiment_score": -1.0}, "sentiment_score"),
    ],
)
def test_the_target_is_the_emotion_or_the_only_one(fields, wanted, choose):
    inputs = choose(rows_with(text=texts, **fields))
    assert inputs.target == wanted
    assert any(note.startswith(f"--target {wanted}: 20 rows") for note in inputs.notes)


def test_an_ambiguous_target_is_refused(choose):
    with raises("target-ambiguous") as error:
        choose(rows_with(text=texts, sentiment="negative", valence=0.5))
    assert "sentiment and vad" in str(error.value)


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"text": texts}, "target-missing"), ({"emotion": "sad"}, "inputs-missing")],
)
def test_data_without_inputs_or_target_are_refused(fields, code, choose):
    with raises(code):
        choose(rows_with(**fields))


def test_without_a_test_split_valid_is_scored(choose):
    inputs = choose(rows_with(text=texts, emotion="sad"), test=False)
    assert inputs.test == "valid"
    assert "there is no test split" in inputs.notes[-1]


def test_rows_without_a_target_or_an_input_are_counted(choose):
    rows = rows_with(text=texts, emotion=lambda i: "sad" if i % 2 else None)
    rows[1] = replace(rows[1], text=None)
    chosen = choose(rows)
    assert chosen.usable == dict.fromkeys(("train", "valid", "test"), (9, 20))
