"""Text, speech and video in one model: every fusion, rows that lack some, modalities masked."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from extended import all_but
from sklearn.metrics import recall_score
from toy_copies import copy_of_toy

from data_prep.schema import Utterance, read_manifest
from data_prep.tokens.kmeans_corpus import tokenize_with_kmeans
from emo_fairseq.evaluation import predictions
from emo_fairseq.models.fusions import FUSIONS

WIDTH = 5
CASES = {0: "text+speech+video", 1: "text+speech", 2: "text", 3: "text+video"}  # by row % 4
MODEL = """--modality T+A+V --speech-input tokens --video-encoder features:faces
    --video-encoder-layers 1 --video-embed-dim 16 --video-ffn-embed-dim 16
    --video-attention-heads 2 --fusion-embed-dim 16 --encoder-attention-heads 2"""
TRAIN = "--batch-size 8 --max-update 2 --modality-dropout 0.3"


@pytest.fixture(scope="module")
def data(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy corpus with frames of video; rows lack speech, video or both in turn."""

    def silence(split: str, rows: list[Utterance]) -> list[Utterance]:
        return [
            row if "speech" in CASES[n % 4] else replace(row, audio=None, n_samples=None)
            for n, row in enumerate(rows)
        ]

    folder = copy_of_toy(toy_corpus, tmp_path_factory.mktemp("three") / "toy", silence)
    (folder / "speech").unlink()
    tokenize_with_kmeans(folder, n_clusters=8, max_train_frames=500)
    (folder / "features" / "faces").mkdir(parents=True)
    generator = np.random.default_rng(3)
    for split in ("train", "valid", "test"):
        rows = read_manifest(folder / f"{split}.tsv")
        lengths = [2 + n % 3 if "video" in CASES[n % 4] else 0 for n in range(len(rows))]
        place = folder / "features" / "faces" / split
        frames = generator.normal(size=(sum(lengths), WIDTH)).astype(np.float32)
        np.save(place.with_suffix(".npy"), frames)
        place.with_suffix(".lengths").write_text("\n".join(map(str, lengths)) + "\n")
    return folder


@pytest.fixture
def train(
    fairseq: Callable[..., Any], commands: dict[str, str], data: Path, tmp_path: Path
) -> Callable[..., Path]:
    def run(*options: str) -> Path:
        place = f"--data {data} --save-dir {tmp_path / 'run'}"
        fairseq("train", commands["train"], place, TRAIN, *options)
        return tmp_path / "run" / "checkpoint_last.pt"

    return run


@pytest.mark.parametrize("fusion", all_but({"concat", "mult"}, FUSIONS.keys()))
def test_every_fusion_trains_and_scores_each_case(
    train: Callable[..., Path],
    fairseq: Callable[..., Any],
    commands: dict[str, str],
    data: Path,
    tmp_path: Path,
    fusion: str,
) -> None:
    model = MODEL
    if fusion != "cross_attention":
        model = model.replace("--encoder-attention-heads 2", "")
    if fusion == "concat":
        model = model.replace("--fusion-embed-dim 16", "")
    checkpoint = train(model, f"--fusion {fusion}")
    saved = tmp_path / "predictions.tsv"
    figures = fairseq(
        "validate",
        commands["validate"],
        f"--data {data} --path {checkpoint} --valid-subset test --batch-size 5",
        f"--save-predictions {saved}",
    ).figures("test")
    rows = {row.id: n for n, row in enumerate(read_manifest(data / "test.tsv"))}
    scored = predictions.read(saved)
    for number, case in CASES.items():
        of_case = [row for row in scored if rows[row["id"]] % 4 == number]
        truth, said = ([row[key] for row in of_case] for key in ("truth", "prediction"))
        assert figures[f"n@{case}"] == len(of_case) == 3
        expected = recall_score(truth, said, labels=sorted({*truth}), average="macro")
        assert figures[f"uar@{case}"] == pytest.approx(expected, abs=1e-5)


def test_a_modality_can_be_masked_for_a_whole_run(
    train: Callable[..., Path],
    fairseq: Callable[..., Any],
    commands: dict[str, str],
    data: Path,
    tmp_path: Path,
) -> None:
    checkpoint = train(MODEL)
    place = f"--data {data} --path {checkpoint} --valid-subset test --batch-size 5"
    mask = "--mask-modality A+V"
    figures = fairseq("validate", commands["validate"], place, mask).figures("test")
    whole = fairseq("validate", commands["validate"], place).figures("test")
    assert not any("@" in name for name in figures)  # all rows have text, and text alone
    assert figures["loss"] != whole["loss"]
