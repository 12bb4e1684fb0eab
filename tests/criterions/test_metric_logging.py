"""From chunks of any size to one set of figures, through fairseq's own meters."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from fairseq.logging import metrics as fairseq_metrics
from sklearn.metrics import balanced_accuracy_score, f1_score
from torch import Tensor

from emo_fairseq import metrics
from emo_fairseq.criterions.metric_logging import log_metrics
from emo_fairseq.criterions.scoring import Scorer
from emo_fairseq.targets import TARGETS

LABELS = ("neutral", "sad", "angry", "happy")
N_ROWS = 37


def labels_of(target: str) -> Sequence[str]:
    return LABELS if TARGETS[target].has_labels else TARGETS[target].columns


def batch_of(target: str) -> tuple[Tensor, Tensor]:
    """Truth and a model's output, better than chance."""
    n_outputs = TARGETS[target].n_outputs(len(LABELS))
    noise = torch.randn(N_ROWS, n_outputs)
    if target == "emotion_distribution":
        shares = torch.distributions.Dirichlet(torch.ones(n_outputs).double()).sample((N_ROWS,))
        majority = shares.argmax(dim=1).double()
        majority[::5] = -1.0
        return torch.cat([majority[:, None], shares], dim=1), noise + shares.float()
    if TARGETS[target].has_labels:
        truth = torch.randint(0, len(LABELS), (N_ROWS,))
        width = n_outputs // len(LABELS)
        rows = torch.arange(N_ROWS)
        noise[rows, truth * width + width - 1] += 1.5
        return truth, noise
    truth = (
        torch.rand(N_ROWS, n_outputs) * 6 - 3 if target == "sentiment_score" else noise.sigmoid()
    )
    if target == "vad":
        truth[5, 1] = truth[7, :] = math.nan
    return truth, truth.nan_to_num(0.5) + 0.3 * torch.randn(N_ROWS, n_outputs)


def statistics_of(target: str, truth: Tensor, output: Tensor) -> dict[str, Tensor]:
    scorer = Scorer(TARGETS[target], labels_of(target))
    return scorer.statistics(truth, output)


def figures_of(target: str, chunks: Sequence[Sequence[dict[str, Any]]]) -> dict[str, float]:
    """Log chunk after chunk, as an epoch does; what the log line holds at its end."""
    with fairseq_metrics.aggregate(new_root=True) as figures:
        for chunk in chunks:
            log_metrics(chunk, labels_of(target))
    return figures.get_smoothed_values()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("size", [1, 7, 16])
def test_chunks_of_any_size_give_the_figures_of_the_whole(target: str, size: int) -> None:
    truth, output = batch_of(target)
    whole = figures_of(target, [[statistics_of(target, truth, output)]])
    parts = [
        statistics_of(target, truth[i : i + size], output[i : i + size])
        for i in range(0, N_ROWS, size)
    ]
    one_by_one = figures_of(target, [[part] for part in parts])
    as_of_ranks = figures_of(target, [parts])
    assert whole.keys() == one_by_one.keys() == as_of_ranks.keys()
    for name, value in whole.items():
        assert one_by_one[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name
        assert as_of_ranks[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("emotion", {"uar", "wa", "weighted_f1", "macro_f1", "recall_sad", "recall_neutral"}),
        ("emotion_distribution", {"uar", "macro_f1", "n_agreed", "votes_ce", "votes_jsd"}),
        ("binary_emotion", {"uar", "wa", "binary_accuracy_sad", "binary_f1_sad_always_no"}),
        ("vad", {"ccc", "pearson", "mae", "rmse", "ccc_valence", "rmse_dominance"}),
        ("sentiment_score", {"ccc", "acc2_has0", "f1_non0", "acc7", "acc5_non0", "mae", "corr"}),
    ],
)
def test_the_published_figures_are_in_the_log(target: str, names: set[str]) -> None:
    figures = figures_of(target, [[statistics_of(target, *batch_of(target))]])
    assert names <= figures.keys()
    assert not any(math.isnan(float(figures[name])) for name in names)


def test_the_statistics_themselves_stay_off_the_log_line() -> None:
    """fairseq prints what does not begin with an underscore."""
    for target in TARGETS:
        statistics = statistics_of(target, *batch_of(target))
        assert all(name.startswith("_") for name in statistics)
        figures = figures_of(target, [[statistics]])
        assert not any(name.startswith("_") for name in figures)


def test_figures_of_labels_are_scikit_learns() -> None:
    truth, logits = batch_of("emotion")
    figures = figures_of("emotion", [[statistics_of("emotion", truth, logits)]])
    predicted = logits.argmax(dim=1)
    assert figures["wa"] == pytest.approx(float((truth == predicted).double().mean()))
    assert figures["uar"] == pytest.approx(balanced_accuracy_score(truth, predicted))
    assert figures["weighted_f1"] == pytest.approx(f1_score(truth, predicted, average="weighted"))
    for k, label in enumerate(LABELS):
        recall = float((predicted[truth == k] == k).double().mean())
        assert figures[f"recall_{label}"] == pytest.approx(recall)


def test_the_mean_of_a_figure_is_over_the_axes() -> None:
    figures = figures_of("vad", [[statistics_of("vad", *batch_of("vad"))]])
    for name in ("ccc", "pearson", "mae", "rmse"):
        per_axis = [figures[f"{name}_{axis}"] for axis in TARGETS["vad"].columns]
        assert figures[name] == pytest.approx(sum(per_axis) / 3)
        assert len(set(per_axis)) == 3


def test_a_single_number_has_no_figures_by_axis() -> None:
    target = "sentiment_score"
    figures = figures_of(target, [[statistics_of(target, *batch_of(target))]])
    assert not any(name.endswith("_sentiment_score") for name in figures)


def test_figures_are_not_rounded() -> None:
    truth = torch.tensor([0, 0, 0, 1, 1, 2, 3])
    logits = torch.eye(4)[torch.tensor([0, 0, 1, 1, 2, 2, 3])]
    figures = figures_of("emotion", [[statistics_of("emotion", truth, logits)]])
    assert figures["uar"] == pytest.approx((2 / 3 + 1 / 2 + 1 + 1) / 4, abs=1e-12)


def test_figures_between_batches_are_of_the_batches_so_far() -> None:
    """As fairseq reads them, of an inner interval of an epoch and of the epoch."""
    truth, logits = batch_of("emotion")
    parts = [statistics_of("emotion", truth[p], logits[p]) for p in (slice(0, 20), slice(20, 37))]
    with fairseq_metrics.aggregate(new_root=True) as epoch:
        for number, part in enumerate(parts, start=1):
            with fairseq_metrics.aggregate() as inner:
                log_metrics([part], LABELS)
            assert epoch.get_smoothed_values() == figures_of("emotion", [parts[:number]])
            assert inner.get_smoothed_values() == figures_of("emotion", [[part]])


def test_a_batch_without_utterances_changes_nothing() -> None:
    """What fairseq logs for the dummy batch of a rank that has no share."""
    truth, logits = batch_of("emotion")
    full = statistics_of("emotion", truth, logits)
    empty = {name: torch.zeros_like(value) for name, value in full.items()}
    assert figures_of("emotion", [[full, empty], [empty]]) == figures_of("emotion", [[full]])


def test_what_is_no_statistic_is_not_summed() -> None:
    truth, logits = batch_of("emotion")
    output = {**statistics_of("emotion", truth, logits), "loss": 3.0, "predictions": [{}]}
    assert (
        figures_of("emotion", [[output]]).keys()
        == figures_of("emotion", [[statistics_of("emotion", truth, logits)]]).keys()
    )


def test_the_sums_survive_a_checkpoint() -> None:
    """A run that is resumed in the middle of an epoch goes on from the saved sums."""
    truth, logits = batch_of("emotion")
    parts = [statistics_of("emotion", truth[p], logits[p]) for p in (slice(0, 20), slice(20, 37))]
    fairseq_metrics.reset()
    with fairseq_metrics.aggregate("train"):
        log_metrics([parts[0]], LABELS)
    saved = fairseq_metrics.state_dict()
    fairseq_metrics.reset()
    fairseq_metrics.load_state_dict(saved)
    with fairseq_metrics.aggregate("train"):
        log_metrics([parts[1]], LABELS)
    resumed = fairseq_metrics.get_smoothed_values("train")
    fairseq_metrics.reset()
    assert resumed == figures_of("emotion", [parts])


def test_an_axis_that_nobody_measured_does_not_undo_the_mean() -> None:
    truth = torch.tensor([[0.1, float("nan")], [0.6, float("nan")], [0.9, float("nan")]])
    prediction = torch.tensor([[0.2, 0.5], [0.5, 0.4], [0.8, 0.3]])
    sums = {"_moments": metrics.moments(truth, prediction)}
    with fairseq_metrics.aggregate() as figures:
        log_metrics([sums], ["valence", "arousal"])
        measured = figures.get_smoothed_values()
    assert measured["ccc"] == pytest.approx(measured["ccc_valence"])
    assert math.isnan(measured["ccc_arousal"])


@pytest.mark.parametrize("target", ["emotion", "binary_emotion"])
def test_a_model_that_has_diverged_gets_no_score(target: str) -> None:
    """The argmax of NaNs is class 0: on an unbalanced corpus that would look like a majority."""
    truth, logits = batch_of(target)
    scorer = Scorer(TARGETS[target], LABELS)
    logits[3] = float("nan")
    with fairseq_metrics.aggregate() as figures:
        log_metrics([scorer.statistics(truth, logits)], LABELS)
        measured = figures.get_smoothed_values()
    assert math.isnan(measured["wa"])
    assert math.isnan(measured["uar"])
