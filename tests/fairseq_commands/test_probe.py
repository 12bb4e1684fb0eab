"""``fairseq-train --probe``: solved, validated, refitted, scored, and beside scikit-learn."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hf_folders
import numpy as np
import pytest
import torch
from codes import raises
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from data_prep.commands.tokenize_text import tokenize_with_hf
from data_prep.schema import read_manifest
from emo_fairseq.compat.torch_files import load_torch_file
from emo_fairseq.evaluation import predictions
from emo_fairseq.export.model_card import write_card
from emo_fairseq.export.model_folder import write_model_folder
from emo_fairseq.inference.predictor import load_predictor

OPTIONS = """--arch robertaEMO_tiny --criterion emotion_classification --lr 0.003 --optimizer adam
    --batch-size 8 --probe --best-checkpoint-metric uar --maximize-best-checkpoint-metric"""
LOG_MEL = "--modality speech --speech-input log_mel"
STRENGTHS = "--probe-strengths 0.01,0.1,1"

Run = Callable[..., Any]


@pytest.fixture
def probe(fairseq: Run, commands: dict[str, str], toy_corpus: Path, tmp_path: Path) -> Run:
    """Run a probe in the folder ``run``; returns what fairseq-train has logged."""

    def solve(*options: str, data: Path = toy_corpus) -> str:
        place = f"--data {data} --save-dir {tmp_path / 'run'}"
        words = (commands["validate"], OPTIONS, STRENGTHS, place, *options)
        log: str = fairseq("train", *words).log
        return log

    return solve


@pytest.fixture
def score(fairseq: Run, commands: dict[str, str], toy_corpus: Path, tmp_path: Path) -> Run:
    """Score a checkpoint of it; returns the rows of the predictions, and the embeddings by id."""

    def validate(split: str, name: str = "checkpoint_best", data: Path = toy_corpus) -> Any:
        file, vectors = tmp_path / f"{split}.tsv", tmp_path / f"{split}.npz"
        place = f"--data {data} --path {tmp_path / 'run' / name}.pt --valid-subset {split}"
        save = f"--batch-size 5 --save-predictions {file} --save-embeddings {vectors}"
        fairseq("validate", commands["validate"], place, save)
        stored = np.load(vectors)
        by_id = dict(zip(stored["ids"].tolist(), stored["embeddings"], strict=True))
        rows = predictions.read(file)
        return rows, np.stack([by_id[row["id"]] for row in rows]).astype(np.float64)

    return validate


def chosen(folder: Path) -> dict[str, Any]:
    """What a checkpoint records of its probe."""
    saved = load_torch_file(folder / "checkpoint_best.pt")
    record: dict[str, Any] = saved["task_state"]["probe"]
    return record


def test_predictions_are_those_of_scikit_learn_on_the_same_vectors(
    probe: Run, score: Run, tmp_path: Path
) -> None:
    log = probe(LOG_MEL)
    record = chosen(tmp_path / "run")
    assert record["rows"] == 32
    assert record["dimensions"] == 160  # mean and deviation of 80 bands
    train, vectors = score("train")
    scaler = StandardScaler().fit(vectors)
    model = LogisticRegression(C=1 / (record["strength"] * 32), tol=1e-5, max_iter=3000)
    model.fit(scaler.transform(vectors), [row["truth"] for row in train])
    test, vectors = score("test")
    expected = model.predict(scaler.transform(vectors)).tolist()
    assert [row["prediction"] for row in test] == expected
    labels = model.classes_.tolist()
    scores = np.array([[float(row[f"probability_{label}"]) for label in labels] for row in test])
    np.testing.assert_allclose(scores, model.predict_proba(scaler.transform(vectors)), atol=2e-4)
    assert log.count("begin validation on") == 1
    assert f"solved at strength {record['strength']:g} on 32 rows" in log
    again = probe(LOG_MEL)
    assert "holds a model that --probe has solved: nothing is trained" in again
    assert "begin validation on" not in again


def test_two_runs_are_equal(probe: Run, tmp_path: Path) -> None:
    weights = []
    for _ in range(2):
        probe(LOG_MEL)
        state = load_torch_file(tmp_path / "run" / "checkpoint_best.pt")["model"]
        weights.append(state["head.out_proj.weight"])
        (tmp_path / "run").rename(tmp_path / f"run{len(weights)}")
    assert torch.equal(*weights)


def test_refit_has_seen_the_valid_split_and_may_not_be_scored_on_it(
    probe: Run, score: Run, tmp_path: Path
) -> None:
    probe(LOG_MEL, "--refit")
    score("valid")
    with raises("leak-scored"):
        score("valid", "checkpoint_last")
    test, vectors = score("test", "checkpoint_last")
    state = load_torch_file(tmp_path / "run" / "checkpoint_last.pt")["task_state"]
    assert state["probe"]["refitted"]
    assert state["probe"]["rows"] == 40
    assert state["probe"]["strength"] == chosen(tmp_path / "run")["strength"]
    assert len(test) == len(vectors) == 12
    assert "nothing is trained" in probe(LOG_MEL, "--refit")
    folder = write_model_folder(tmp_path / "run" / "checkpoint_last.pt", None, tmp_path / "folder")
    card = write_card(folder, tmp_path / "run" / "checkpoint_last.pt").read_text()
    assert " on 40 rows, those of the valid split among them, without updates." in card


def test_numbers_are_solved_by_ridge_regression(probe: Run, score: Run, tmp_path: Path) -> None:
    numbers = "--target vad --criterion emotion_regression --best-checkpoint-metric ccc"
    probe(LOG_MEL, numbers)
    strength = chosen(tmp_path / "run")["strength"]
    train, vectors = score("train")
    scaler = StandardScaler().fit(vectors)
    test, test_vectors = score("test")
    for axis in ("valence", "arousal", "dominance"):
        truth = [float(row[f"truth_{axis}"]) for row in train]
        model = Ridge(alpha=strength * len(truth)).fit(scaler.transform(vectors), truth)
        values = [float(row[f"prediction_{axis}"]) for row in test]
        expected = model.predict(scaler.transform(test_vectors))
        np.testing.assert_allclose(values, expected, atol=1e-4)


def test_questions_are_solved_one_by_one(probe: Run, score: Run, tmp_path: Path) -> None:
    probe(LOG_MEL, "--target binary_emotion")
    strength = chosen(tmp_path / "run")["strength"]
    train, vectors = score("train")
    scaler = StandardScaler().fit(vectors)
    test, test_vectors = score("test")
    for label in sorted({row["truth"] for row in train}):
        model = LogisticRegression(C=1 / (strength * len(train)), tol=1e-5, max_iter=3000)
        model.fit(scaler.transform(vectors), [row["truth"] == label for row in train])
        expected = model.predict_proba(scaler.transform(test_vectors))[:, 1]
        values = [float(row[f"probability_{label}"]) for row in test]
        np.testing.assert_allclose(values, expected, atol=2e-4)


@pytest.fixture
def with_bert(copy_toy: Run, tmp_path: Path) -> Path:
    """The toy corpus in the words of a tiny BERT."""

    data = copy_toy()
    texts = [str(row.text) for row in read_manifest(data / "train.tsv")]
    hf_folders.build(tmp_path / "bert", texts=texts)
    (data / "text").unlink()
    tokenize_with_hf(data, tmp_path / "bert")
    return data


def test_a_frozen_text_encoder_beside_frames(
    probe: Run, score: Run, with_bert: Path, tmp_path: Path
) -> None:
    both = f"--modality text+speech --speech-input log_mel --text-encoder hf:{tmp_path / 'bert'}"
    probe(both, "--text-layer 2 --class-weighting inverse_frequency", data=with_bert)
    record = chosen(tmp_path / "run")
    assert record["dimensions"] == 16 + 160
    rows, _ = score("test", data=with_bert)
    predictor = load_predictor(tmp_path / "run" / "checkpoint_best.pt", data=with_bert)
    first = read_manifest(with_bert / "test.tsv")[0]
    prediction = predictor.predict(text=first.text, audio=with_bert / str(first.audio))
    by_id = {row["id"]: row for row in rows}
    assert prediction.label == by_id[first.id]["prediction"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (f"{LOG_MEL} --label-smoothing 0.1", "option-idle"),
        (f"{LOG_MEL} --disable-validation", "probe-without-valid-split"),
        (f"{LOG_MEL} --criterion emotion_supcon", "criterion-unfit"),
    ],
)
def test_what_a_probe_has_no_use_for_is_refused(probe: Run, options: str, code: str) -> None:
    with raises(code):
        probe(options)
