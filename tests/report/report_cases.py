"""Predictions, data dirs and logs for tests of the report."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_prep.prototypes import write_prototypes
from data_prep.prototypes.fitting import fit_prototypes
from data_prep.schema import Corpus, Utterance, write_corpus
from emo_fairseq.evaluation import predictions

LABELS = ["happy", "sad", "angry", "neutral"]  # neutral is never true
CENTRES = {"happy": (0.8, 0.7, 0.6), "sad": (0.2, 0.3, 0.3), "angry": (0.2, 0.8, 0.7)}
Row = dict[str, str | float]


def utterances(n_rows: int, prefix: str) -> list[Utterance]:
    """Rows with text, five speakers, emotion and VAD; every fourth has audio too."""
    draw = np.random.default_rng(1)
    rows = []
    for number in range(n_rows):
        emotion = LABELS[number % 3]
        vad = np.clip(np.array(CENTRES[emotion]) + draw.normal(0.0, 0.08, 3), 0.0, 1.0)
        rows.append(
            Utterance(
                f"{prefix}{number:03d}",
                audio="a.wav" if number % 4 == 0 else None,
                n_samples=16000 if number % 4 == 0 else None,
                text=f"Utterance <{number}> & more",
                speaker=f"speaker {number % 5}",
                emotion=emotion,
                **dict(zip(("valence", "arousal", "dominance"), vad.tolist(), strict=True)),
            )
        )
    return rows


def write_data(folder: Path, n_test: int = 60) -> Path:
    corpus = Corpus("small", labels={"emotion": tuple(LABELS)}, protocol="one split")
    splits = {"train": utterances(30, "train"), "test": utterances(n_test, "u")}
    write_corpus(folder, corpus, splits)
    write_prototypes(folder / "prototypes.json", fit_prototypes([folder]))
    return folder


def label_rows(n_rows: int = 60, seed: int = 0) -> list[Row]:
    """Soft, mostly right probabilities."""
    draw = np.random.default_rng(seed)
    rows: list[Row] = []
    for number in range(n_rows):
        truth = LABELS[number % 3]
        scores = draw.normal(0.0, 1.0, 4) + 1.5 * np.array([name == truth for name in LABELS])
        shares = np.exp(scores) / np.exp(scores).sum()
        rows.append(
            {
                "id": f"u{number:03d}",
                "split": "test",
                "truth": truth,
                "prediction": LABELS[int(shares.argmax())],
                **{f"probability_{k}": float(p) for k, p in zip(LABELS, shares, strict=True)},
            }
        )
    return rows


def number_rows(axes: Sequence[str], n_rows: int = 60, scale: float = 1.0) -> list[Row]:
    """Truths with noise added; the last utterance has no truth on the last axis."""
    draw = np.random.default_rng(2)
    rows: list[Row] = []
    for number in range(n_rows):
        truth = (draw.random(len(axes)) * scale).tolist()
        prediction = np.array(truth) + draw.normal(0.0, 0.1 * scale, len(axes))
        if number == n_rows - 1:
            truth[-1] = float("nan")
        rows.append(
            {
                "id": f"u{number:03d}",
                "split": "test",
                **{f"truth_{axis}": x for axis, x in zip(axes, truth, strict=True)},
                **{
                    f"prediction_{axis}": float(x) for axis, x in zip(axes, prediction, strict=True)
                },
            }
        )
    return rows


def write_predictions(file: Path, rows: Sequence[Row]) -> Path:
    predictions.write(file, rows)
    return file


# (training, validation) of two epochs, as fairseq's trainer hands them to its progress bar.
LOGGED: list[tuple[dict[str, float], dict[str, float]]] = [
    ({"loss": 2.0, "uar": 0.3}, {"loss": 1.8, "uar": 0.25, "wa": 0.3, "weighted_f1": 0.2}),
    ({"loss": 1.5, "uar": 0.6}, {"loss": 1.6, "uar": 0.5, "wa": 0.6, "weighted_f1": 0.5}),
]
