"""Predictions of a distribution: their file, their metrics, the baseline, some rows, and folds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from codes import raises
from sklearn.metrics import balanced_accuracy_score

from data_prep.schema import Utterance
from emo_fairseq.cli.evaluate.several_models import rows_of
from emo_fairseq.cli.score_table import table_lines
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.dialogues import score_dialogues
from emo_fairseq.evaluation.ensembles import Stacking, align_members, combine, mean
from emo_fairseq.evaluation.predictions import label_row
from emo_fairseq.evaluation.statistics import (
    LabelPredictions,
    metrics_and_baseline,
    pool,
    read_predictions,
    select,
)

LABELS = ("happy", "neutral", "sad")
N_ROWS = 30


def drawn(n_rows: int = N_ROWS, seed: int = 0) -> LabelPredictions:
    draw = np.random.default_rng(seed)
    votes, probability = draw.dirichlet(np.ones(3), (2, n_rows))
    truth = votes.argmax(axis=1)
    truth[::4] = -1
    prediction = probability.argmax(axis=1)
    ids = tuple(f"utt{number:02d}" for number in range(n_rows))
    return LabelPredictions(ids, LABELS, truth, prediction, probability, votes=votes)


def write(file: Path, of: LabelPredictions) -> None:
    assert of.probability is not None
    assert of.votes is not None
    columns = zip(
        of.ids,
        of.truth.tolist(),
        of.prediction.tolist(),
        of.probability.tolist(),
        of.votes.tolist(),
        strict=True,
    )
    rows = [{"id": row[0], "split": "test", **label_row(LABELS, *row[1:])} for row in columns]
    predictions.write(file, rows)


def test_the_file_has_the_votes_and_gives_the_same_metrics(tmp_path: Path) -> None:
    of = drawn()
    write(tmp_path / "predictions.tsv", of)
    (found,) = read_predictions(tmp_path / "predictions.tsv").values()
    assert isinstance(found, LabelPredictions)
    assert found.truth.tolist() == of.truth.tolist()
    assert found.statistics().metrics() == pytest.approx(of.statistics().metrics(), abs=1e-7)


def test_metrics_of_labels_are_those_of_the_rows_with_a_majority() -> None:
    of = drawn()
    agreed = select(of, np.flatnonzero(of.has_truth).tolist())
    assert agreed.votes is not None
    of_labels = LabelPredictions(
        agreed.ids, LABELS, agreed.truth, agreed.prediction, agreed.probability
    )
    found, expected = of.statistics().metrics(), of_labels.statistics().metrics()
    assert found == pytest.approx({**found, **expected})
    assert found["n_agreed"] == len(agreed.ids) < N_ROWS
    assert found["uar"] == pytest.approx(balanced_accuracy_score(agreed.truth, agreed.prediction))
    assert found["votes_ce"] != pytest.approx(agreed.statistics().metrics()["votes_ce"])


def test_an_impossible_label_of_a_row_without_a_majority_changes_no_metric_of_labels() -> None:
    of = drawn()
    assert of.probability is not None
    of.probability[0] = [1.0, 0.0, 0.0]  # row 0 has no majority: its log loss is inf
    found = of.statistics().metrics()
    assert found["nll"] == found["nll"]
    assert found["votes_ce"] != found["votes_ce"]  # which is infinite, as p is 0 where q is not


def test_the_baseline_predicts_the_mean_of_the_votes() -> None:
    of = drawn()
    assert of.votes is not None
    mean = of.votes.mean(axis=0)
    expected = float(-(of.votes * np.log(mean)).sum(axis=1).mean())
    values = metrics_and_baseline(of)
    assert values["votes_ce_majority"] == pytest.approx(expected)
    assert values["votes_ece_majority"] == pytest.approx(0.0, abs=1e-9)
    assert set(of.headline) <= values.keys()


def test_tables_state_how_many_rows_have_a_majority_label() -> None:
    of = drawn()
    first = next(table_lines("test", {"this model": of}, {}))
    assert first.startswith("test, 30 utterances, 22 of them with a majority label; ")
    labels = replace(of, truth=of.truth.clip(min=0), votes=None)
    assert next(table_lines("test", {"x": labels}, {})).startswith("test, 30 utterances; ")


def test_folds_are_pooled_with_their_votes() -> None:
    of = drawn()
    halves = {"1": select(of, range(10)), "2": select(of, range(10, N_ROWS))}
    assert pool(halves).statistics().metrics() == pytest.approx(of.statistics().metrics())


@pytest.mark.parametrize(
    ("column", "cell"), [("votes_sad", "0.9"), ("votes_sad", ""), ("votes_sad", "-0.1")]
)
def test_cells_that_are_no_shares_are_refused(tmp_path: Path, column: str, cell: str) -> None:
    file = tmp_path / "predictions.tsv"
    write(file, drawn(2))
    header, first, *_ = file.read_text().splitlines()
    cells = dict(zip(header.split("\t"), first.split("\t"), strict=True))
    cells[column] = cell
    changed = "\n".join([header, "\t".join(cells.values())]) + "\n"
    file.write_text(predictions.with_last_line(changed))
    with raises("predictions-no-votes", UsageError):
        predictions.read(file)


def test_votes_for_some_of_the_labels_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "predictions.tsv"
    write(file, drawn(2))
    lines = [line.split("\t")[:-1] for line in file.read_text().splitlines()[:-1]]
    text = "\n".join("\t".join(line) for line in lines) + "\n"
    file.write_text(predictions.with_last_line(text))
    with raises("predictions-no-votes", UsageError):
        predictions.read(file)


def test_ensembles_keep_the_votes_and_stack_on_majority_labels() -> None:
    of, other = drawn(60), drawn(60, seed=1)
    other = replace(other, truth=of.truth, votes=of.votes)
    order = [2, 0, 1]
    number = np.array([order.index(label) for label in range(3)])
    assert other.probability is not None
    assert of.votes is not None
    turned = replace(
        other,
        names=tuple(LABELS[label] for label in order),
        truth=np.where(other.has_truth, number[other.truth.clip(min=0)], -1),
        prediction=number[other.prediction],
        probability=other.probability[:, order],
        votes=of.votes[:, order],
    )
    members, n_left = align_members({"a": of, "b": turned})
    assert n_left == 0
    assert members[1].truth.tolist() == of.truth.tolist()
    assert members[1].votes.tolist() == of.votes.tolist()
    agreed = np.flatnonzero(of.has_truth).tolist()
    stacked = Stacking.fit(members)
    of_agreed = Stacking.fit([select(member, agreed) for member in members])
    np.testing.assert_allclose(stacked.weight, of_agreed.weight)
    combined = combine(members, mean)
    assert combined.statistics().metrics()["votes_ce"] > 0


def test_shifts_are_those_of_turns_with_a_majority_label() -> None:
    of = drawn(12)
    rows = [
        Utterance(name, dialogue=f"d{n // 6}", turn=n % 6, speaker="ab"[n % 2])
        for n, name in enumerate(of.ids)
    ]
    agreed = np.flatnonzero(of.has_truth).tolist()
    scores = score_dialogues(of, rows)
    expected = score_dialogues(select(of, agreed), [rows[row] for row in agreed])
    assert scores is not None
    assert expected is not None
    assert scores.counts == expected.counts
    assert scores.estimates.keys() == expected.estimates.keys()
    for key, estimate in scores.estimates.items():
        assert estimate.value == pytest.approx(expected.estimates[key].value, nan_ok=True), key


def test_the_predictions_of_an_ensemble_keep_votes(tmp_path: Path) -> None:
    """Without them, rows without a majority label could not even be read again."""
    combined = combine([drawn(), drawn(seed=1)], mean)
    predictions.write(tmp_path / "ensemble.tsv", list(rows_of(combined, "test")))
    read = read_predictions(tmp_path / "ensemble.tsv")["test"]
    assert isinstance(read, LabelPredictions)
    assert read.truth.tolist() == combined.truth.tolist()
    assert read.votes is not None
    assert combined.votes is not None
    assert read.votes == pytest.approx(combined.votes, abs=1e-8)


def test_a_model_of_labels_beside_one_of_votes_is_compared_by_labels() -> None:
    votes = drawn()
    agreed = select(votes, np.flatnonzero(votes.has_truth).tolist())
    labels = replace(agreed, votes=None)
    for pair in ({"a": votes, "b": labels}, {"b": labels, "a": votes}):
        members, n_left_out = align_members(pair)
        combined = combine(members, mean)
        assert n_left_out == N_ROWS - len(labels.ids)
        widths = {x.statistics().rows.shape for x in (combined, *members)}
        assert len(widths) == 1  # of which differences are taken
        assert "votes_kl" not in combined.statistics().metrics()
