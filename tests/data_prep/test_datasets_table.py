"""Data sets of the library `datasets`, of save_to_disk and of the hub."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from codes import raises

from data_prep.commands.hf_table import main
from data_prep.commands.validate import validate
from data_prep.schema import read_corpus, read_manifest
from data_prep.sources import find_source
from data_prep.tables.datasets_table import open_hub, open_saved

datasets = pytest.importorskip("datasets")


def sound() -> bytes:
    file = io.BytesIO()
    samples = 0.3 * np.sin(np.arange(8_000) / 5)
    soundfile.write(file, samples.astype(np.float32), 16_000, format="WAV")
    return file.getvalue()


def dataset(n_rows: int, first: int = 0) -> "datasets.Dataset":
    """Rows of two classes and four speakers, with their sound."""
    numbers = range(first, first + n_rows)
    rows = {
        "audio": [{"bytes": sound(), "path": f"{n}.wav"} for n in numbers],
        "label": [n % 2 for n in numbers],
        "speaker": [f"s{n % 4}" for n in numbers],
        "text": ["some words here"] * n_rows,
    }
    made = datasets.Dataset.from_dict(rows)
    made = made.cast_column("label", datasets.ClassLabel(names=["sad", "glad"]))
    return made.cast_column("audio", datasets.Audio(decode=False))


def test_a_saved_data_set_with_splits(tmp_path: Path) -> None:
    sets = {"train": dataset(8), "validation": dataset(4, 8), "test": dataset(4, 12)}
    datasets.DatasetDict(sets).save_to_disk(str(tmp_path / "set"))
    source = find_source(tmp_path / "set")
    assert (source.kind, source.command) == ("hf_dataset", "hf_table")
    assert main([str(tmp_path / "set"), str(tmp_path / "out")]) == 0
    corpus = read_corpus(tmp_path / "out")
    assert corpus.labels == {"emotion": ("sad", "glad")}  # in the order of the class numbers
    assert {s: c["rows"] for s, c in corpus.splits.items()} == {"train": 8, "valid": 4, "test": 4}
    row = read_manifest(tmp_path / "out" / "valid.tsv")[1]
    assert (row.emotion, row.speaker, row.n_samples) == ("glad", "s1", 8_000)
    assert validate(tmp_path / "out") == []


def test_a_saved_data_set_without_splits_is_drawn_by_speaker(tmp_path: Path) -> None:
    dataset(16).save_to_disk(str(tmp_path / "set"))
    assert main([str(tmp_path / "set"), str(tmp_path / "out"), "--name", "mine"]) == 0
    corpus = read_corpus(tmp_path / "out")
    assert corpus.disjoint == ("speaker",)
    assert set(corpus.splits) == {"train", "valid", "test"}


def test_a_damaged_data_set_is_refused(tmp_path: Path) -> None:
    dataset(4).save_to_disk(str(tmp_path / "set"))
    (tmp_path / "set" / "state.json").write_text("{}")
    with raises("dataset-invalid"):
        open_saved(tmp_path / "set")


def test_unknown_splits_are_refused(tmp_path: Path) -> None:
    sets = {"train": dataset(4), "other": dataset(4)}
    datasets.DatasetDict(sets).save_to_disk(str(tmp_path / "set"))
    with raises("split-unknown"):
        open_saved(tmp_path / "set")


def test_a_hub_that_cannot_be_reached_is_one_sentence_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("HF_DATASETS_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with raises("hub-unreachable") as error:
        open_hub("hf:org/name")
    assert 'load_dataset("org/name").save_to_disk("FOLDER")' in str(error.value)
