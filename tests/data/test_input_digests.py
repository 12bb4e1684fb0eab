"""What is read of a data dir beside manifests: which change of it is noticed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_prep.commands.tokenize_text import tokenize_with_sentencepiece
from data_prep.features.stored import features_folder
from data_prep.schema import Corpus, Utterance, write_corpus
from emo_fairseq.data.input_digests import ReadInputs, changed_inputs

SPLITS = ("train", "valid", "test")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = {
        split: [
            Utterance(f"{split}{n}", audio=f"{split}{n}.wav", n_samples=8_000, text="I am so glad")
            for n in range(3)
        ]
        for split in SPLITS
    }
    for number, row in enumerate(row for of_split in rows.values() for row in of_split):
        write(tmp_path / str(row.audio), number)
    write_corpus(tmp_path, Corpus("small"), rows)
    return tmp_path


def write(recording: Path, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.1, 8_000)
    soundfile.write(recording, noise, 16_000)


def read(data: Path, **encoders: str | None) -> ReadInputs:
    return ReadInputs(data, SPLITS[:2], None, encoders, {})


def write_features(data: Path, value: float) -> None:
    folder = features_folder(data, "mine")
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        np.save(folder / f"{split}.npy", np.full((3, 4), value, np.float32))


def test_recordings_features_and_tokens(data: Path) -> None:
    write_features(data, 1.0)
    tokenize_with_sentencepiece(data, vocab_size=275, name="small")
    mine = read(data, speech="features:mine")
    both = read(data, text=None, speech=None)
    before, of_features = both.digests(), mine.digests()
    assert [*before] == ["text/small", "recordings"]
    assert [*of_features] == ["features/mine"]
    write(data / "test0.wav", 100)  # of a split that is not read
    assert both.digests() == before
    write(data / "train0.wav", 100)
    assert changed_inputs(before, both.digests()) == ["recordings"]
    assert mine.digests() == of_features
    write_features(data, 2.0)
    assert changed_inputs(of_features, mine.digests()) == ["features/mine"]
    assert replace(both, speech_input="tokens").digests().keys() == {"text/small"}
    (data / "train1.wav").unlink()  # which may be gone after a training
    assert changed_inputs(before, both.digests()) == []
