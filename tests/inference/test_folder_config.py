"""The config.json of a model folder: each key of another form is refused by its name."""

import json
from pathlib import Path
from typing import Any

import pytest
from document_mutations import mutations

from emo_fairseq.errors import UsageError
from emo_fairseq.inference.model_folder.config import read_config

SPECIALS = {"init": 0, "pad": 1, "separator": 2, "unknown": 3}
ENCODER = {
    "spec": "scratch:",
    "input": "tokens",
    "architecture": {},
    "weights": "",
    "vocabulary_size": 0,
    "vocabulary_digest": "",
    "max_tokens": 0,
}
CONFIG: dict[str, Any] = {
    "format": 1,
    "emo_fairseq": "0.1.0",
    "task": {"modality": "text"},
    "model": {"checkpoint_weights": "all"},
    "state": {
        "labels": ["sad", "happy"],
        "class_counts": [1, 2],
        "auxiliary_labels": {"vad": ["valence"]},
        "frame_statistics": {"speech": {"mean": [0.5], "std": [1.5]}},
        "corpus": "toy",
        "fold": "k_fold/1",
        "encoders": {"text": ENCODER},
        "vocabulary": {"text": {"size": 9, "digest": "", "source": "a", "specials": SPECIALS}},
        "prototypes": {"values": [[[0.1, 0.2, 0.3]]], "quantiles": {"0.5": 0.5}},
    },
    "front_end": {
        "tokenizers": ["text"],
        "missing": {"speech": "its features"},
        "cleans_text": True,
        "features": {"speech": {"settings": {}, "card": ENCODER, "reads_tokens": False}},
    },
}
# What is refused by a sentence of its own, or may hold anything.
FREE = ("architecture", "settings", "task", "model")


def test_the_document_itself_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert read_config(tmp_path).state.labels == CONFIG["state"]["labels"]


def test_every_key_of_another_form_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    cases = list(mutations(CONFIG, required=("task", "model", "state", "front_end"), free=FREE))
    assert len(cases) > 60
    for what, changed, fragment in cases:
        file.write_text(json.dumps(changed))
        with pytest.raises(UsageError) as error:
            read_config(tmp_path)
        assert str(error.value).startswith(f"{file}: "), what
        assert fragment in str(error.value), what
