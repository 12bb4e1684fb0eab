"""Train on votes, score at two batch sizes, export, report: whole commands on the toy corpus."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fairseq_process import Finished
from toy_copies import copy_of_toy

from data_prep.schema import Utterance, read_corpus
from emo_fairseq.evaluation.statistics import LabelPredictions, Predictions, read_predictions
from emo_fairseq.export.model_card import write_card
from emo_fairseq.export.model_folder import write_model_folder
from emo_fairseq.inference.model_folder.reading import read_model_folder
from emo_fairseq.report import tables
from emo_fairseq.report.plots import confusion_matrix, reliability
from emo_fairseq.report.plots.drawing import Plot
from emo_fairseq.report.scored_split import read_scored_split

TARGET_NAME = "emotion_distribution"
TARGET = """--modality text --target emotion_distribution --batch-size 8
    --criterion emotion_classification"""
LABELS = ("neutral", "happy", "sad", "angry")


def with_votes(rows: list[Utterance], seed: int) -> list[Utterance]:
    """Five votes a row, most of them for its emotion; every fifth row has no majority."""
    draw = np.random.default_rng(seed)
    voted = []
    for number, row in enumerate(rows):
        assert row.emotion is not None
        label = LABELS.index(row.emotion)
        other = LABELS[(label + 1 + int(draw.integers(3))) % 4]
        if number % 5 == 0:
            row = replace(row, emotion=None, votes=f"{LABELS[label]}:2 {other}:2 other:1")
        else:
            row = replace(row, votes=f"{row.emotion}:4 {other}:1")
        voted.append(row)
    voted[0] = replace(voted[0], votes="other:5")
    return voted


@pytest.fixture(scope="module")
def voted_corpus(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    seeds = {split: seed for seed, split in enumerate(read_corpus(toy_corpus).splits)}
    return copy_of_toy(
        toy_corpus,
        tmp_path_factory.mktemp("voted") / "data",
        lambda split, rows: with_votes(rows, seeds[split]),
    )


@pytest.fixture(scope="module")
def training(
    voted_corpus: Path,
    fairseq: Callable[..., Any],
    commands: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, str]:
    """A checkpoint after two epochs, and its log."""
    folder = tmp_path_factory.mktemp("soft")
    options = "--max-epoch 2 --best-checkpoint-metric votes_jsd --class-weighting inverse_frequency"
    place = f"--data {voted_corpus} --save-dir {folder}"
    finished = fairseq("train", commands["train"], TARGET, options, place)
    return folder / "checkpoint_best.pt", finished.log


def test_the_log_counts_rows_and_has_the_metrics_of_votes(training: tuple[Path, str]) -> None:
    _, log = training
    assert re.search(r"train\.tsv: 31 rows with votes, 6 of them without a majority label", log)
    assert re.search(r"train\.tsv: 1 rows have no vote for any of neutral", log)
    for number, figures in enumerate(Finished(0, log, "").all_figures("valid"), start=1):
        assert figures["epoch"] == number
        assert figures["n_agreed"] == 6
        assert 0 <= figures["votes_jsd"] <= np.log(2)
        assert figures["votes_kl"] < figures["votes_ce"]
        assert figures.keys() >= {"uar", "wa", "macro_f1", "weighted_f1", "votes_ece"}


def test_scoring_is_the_same_at_any_batch_size_and_from_the_file(
    training: tuple[Path, str],
    voted_corpus: Path,
    fairseq: Callable[..., Any],
    commands: dict[str, str],
    tmp_path: Path,
) -> None:
    checkpoint, _ = training
    files = []
    for size in (1, 7):
        files.append(tmp_path / f"{size}.tsv")
        place = f"--data {voted_corpus} --path {checkpoint} --valid-subset test"
        save = f"--batch-size {size} --save-predictions {files[-1]}"
        figures = fairseq("validate", commands["validate"], place, save).figures("test")
        (of,) = read_predictions(files[-1]).values()
        assert isinstance(of, LabelPredictions)
        values = of.statistics().metrics()
        for key in ("uar", "n_agreed", "votes_ce", "votes_jsd", "votes_ece"):
            assert figures[key] == pytest.approx(values[key], rel=1e-4), key
    assert len(of.ids) == 11
    assert int(of.has_truth.sum()) == 9
    small, large = (next(iter(read_predictions(file).values())) for file in files)
    assert small.statistics().metrics() == pytest.approx(large.statistics().metrics(), abs=1e-6)
    _check_report(large, voted_corpus)


def _check_report(of: Predictions, data: Path) -> None:
    """The tables and diagrams of a report; drawing all of them takes seconds."""
    scored = read_scored_split("", "test", of, data, n_resamples=20)
    assert "9 of 11 utterances have a majority label" in " ".join(tables.notes_of(scored))
    rows = {row[0]: row[1] for row in tables.metric_table(scored).rows}
    assert rows["JS divergence from votes, nats"] == f"{scored.metrics['votes_jsd']:.3f}"
    drawn = [plot for of_kind in (reliability, confusion_matrix) for plot in of_kind.plots(scored)]
    counts = {plot.name: plot.table for plot in drawn if isinstance(plot, Plot) and plot.table}
    assert sum(int(row[1]) for row in counts["reliability"].rows) == 9
    assert sum(int(row[1]) for row in counts["reliability_votes"].rows) == 11
    assert sum(int(x) for row in counts["confusion_counts"].rows for x in row[1:]) == 9
    worst, _ = tables.worst_errors(scored)
    assert all(scored.predictions.truth[row] >= 0 for row in worst)


def test_the_model_folder_predicts_a_distribution(
    training: tuple[Path, str], tmp_path: Path
) -> None:
    from emo_fairseq.inference.predictor import load_predictor

    checkpoint, _ = training
    folder = write_model_folder(checkpoint, None, tmp_path / "folder")
    loaded = read_model_folder(folder)
    assert loaded.state.target.name == "emotion_distribution"
    assert loaded.state.class_counts is not None
    assert sum(loaded.state.class_counts) >= 31
    card = write_card(folder, checkpoint, name="votes").read_text()
    assert "the share of annotators who choose each of 4 labels" in card
    (prediction,) = load_predictor(folder).predict(text=["The trip was awful today."])
    assert sum(prediction.probabilities.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--focal-gamma 2", "--focal-gamma does not act"),
        ("--auxiliary-targets emotion_distribution --target emotion", "is not one of"),
    ],
)
def test_what_does_not_fit_is_refused(
    voted_corpus: Path,
    fairseq: Callable[..., Any],
    commands: dict[str, str],
    tmp_path: Path,
    options: str,
    told: str,
) -> None:
    place = f"--data {voted_corpus} --save-dir {tmp_path}"
    with pytest.raises(ValueError, match=told):
        fairseq("train", commands["train"], TARGET, options, place)


def test_a_model_of_labels_is_scored_against_votes(
    trained: Callable[[str], Path],
    voted_corpus: Path,
    fairseq: Callable[..., Any],
    commands: dict[str, str],
) -> None:
    checkpoint = trained("--modality text --target emotion --batch-size 8 --max-update 2")
    place = f"--data {voted_corpus} --path {checkpoint} --valid-subset test --batch-size 4"
    figures = fairseq("validate", commands["validate"], place, f"--target {TARGET_NAME}").figures(
        "test"
    )
    assert figures["n_agreed"] == 9
    assert figures["votes_kl"] < figures["votes_ce"]
    assert figures["loss"] == pytest.approx(figures["votes_ce"], abs=1e-3)
