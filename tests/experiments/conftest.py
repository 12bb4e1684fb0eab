"""Runs as their folders are: predictions and configurations written by hand."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_prep.schema import Corpus, Utterance, write_corpus
from emo_fairseq.evaluation import predictions

LABELS = ("neutral", "happy", "sad")

Said = Mapping[str, tuple[str, str]]  # id: truth, prediction


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., Path]:
    """Write a run of text with the given predictions; returns its folder.

    `options` are of its configuration, in sections, beside seed, fold and data.
    """

    def write(
        name: str,
        said: Said | None,
        seed: int = 1,
        fold: str | None = None,
        overrides: Sequence[str] = (),
        file: str = "predictions.tsv",
        split: str = "test",
        data: Path = Path("gone"),
        **options: Mapping[str, Any],
    ) -> Path:
        run = tmp_path / "runs" / name
        (run / ".hydra").mkdir(parents=True, exist_ok=True)
        config: dict[str, Any] = {
            "common": {"seed": seed},
            "task": {"_name": "emotion_prediction", "data": str(data), "fold": fold},
            "model": {"_name": "robertaEMO_tiny"},
            "checkpoint": {"best_checkpoint_metric": "uar"},
        }
        for section, values in options.items():
            config[section] = {**config.get(section, {}), **values}
        (run / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config))
        (run / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(overrides)))
        if said is not None:
            predictions.write(run / file, rows_of(said, split))
        return run

    return write


def rows_of(said: Said, split: str) -> list[predictions.Row]:
    return [
        {
            "id": name,
            "split": split,
            "truth": truth,
            "prediction": answer,
            **{f"probability_{label}": float(label == answer) for label in LABELS},
        }
        for name, (truth, answer) in said.items()
    ]


@pytest.fixture
def write_data(tmp_path: Path) -> Callable[..., Path]:
    """Write a data dir of one split `all`: speakers by id, all of them happy."""

    def write(speakers: Mapping[str, str | None], name: str = "small") -> Path:
        rows = [
            Utterance(id=id_, text="word", speaker=speaker, emotion="happy")
            for id_, speaker in speakers.items()
        ]
        write_corpus(tmp_path / name, Corpus(name, labels={"emotion": LABELS}), {"all": rows})
        return tmp_path / name

    return write
