"""The resamples of a table are those of emo_fairseq.metrics.resampling, whatever the metric."""

import pytest
import torch

from emo_fairseq import metrics
from emo_fairseq.metrics.resampling import bootstrap, confusion_rows, units_of
from emo_fairseq.protocols.answers import Answers, aligned, joined
from emo_fairseq.protocols.resampling import resample

N_ROWS, R = 60, 70
NAMES = ("neutral", "happy", "sad")
AXES = ("valence", "arousal", "dominance")


def keys(prefix: str = "") -> tuple[tuple[str, str], ...]:
    return tuple(("", f"{prefix}{row:02d}") for row in range(N_ROWS))


def labels(seed: int) -> Answers:
    generator = torch.Generator().manual_seed(seed)
    truth, prediction = torch.randint(3, (2, N_ROWS), generator=generator).to(torch.uint8)
    return Answers(keys(), NAMES, True, truth, prediction)


def numbers(seed: int) -> Answers:
    generator = torch.Generator().manual_seed(seed)
    truth, prediction = torch.rand(2, N_ROWS, 3, generator=generator, dtype=torch.float64)
    truth[0, 1] = torch.nan
    return Answers(keys(), AXES, False, truth, prediction)


@pytest.mark.parametrize("units", [None, torch.arange(N_ROWS) // 6], ids=["utterances", "speakers"])
def test_the_same_as_the_bootstrap_of_metrics(units):
    runs = [labels(1), labels(2)]
    rows = [confusion_rows(run.truth.long(), run.prediction.long(), 3) for run in runs]
    found = resample(runs, units, R)
    for name, metric in metrics.CONFUSION_METRICS.items():
        assert torch.equal(found[name], bootstrap(rows, metric, units, R))


def test_the_same_of_numbers():
    run = numbers(1)
    pairs = zip(run.truth, run.prediction, strict=True)
    rows = torch.stack([metrics.moments(truth[None], answer[None]) for truth, answer in pairs])
    by_axis = [
        bootstrap([rows[:, axis]], metrics.concordance_cc, None, R) for axis in range(len(AXES))
    ]
    found = resample([run], None, R)
    for axis, expected in zip(AXES, by_axis, strict=True):
        assert torch.allclose(found[f"ccc_{axis}"], expected, atol=1e-12)
    assert torch.allclose(found["ccc"], torch.stack(by_axis).mean(dim=0), atol=1e-12)


def test_figures_of_numbers_by_axis():
    run = numbers(3)
    figures = run.figures()
    known = ~run.truth[:, 1].isnan()
    error = (run.truth[known, 1] - run.prediction[known, 1]).abs().mean()
    assert figures["mae_arousal"] == pytest.approx(float(error))
    assert figures["mae"] == pytest.approx(sum(figures[f"mae_{axis}"] for axis in AXES) / 3)


def test_units_need_a_name_for_each_utterance():
    assert units_of(["a", None]) is None
    assert units_of(["a", "a"]) is None
    assert units_of([]) is None


def test_rows_that_all_have_in_the_order_of_the_first():
    one = labels(1)
    two = labels(2).at(list(range(N_ROWS - 1, 4, -1)))
    first, second = aligned([one, two])
    assert first.keys == second.keys == one.keys[5:]
    assert torch.equal(second.prediction, labels(2).prediction[5:])


def test_folds_together():
    whole = labels(1)
    parts = [whole.at(range(20)), whole.at(range(20, N_ROWS))]
    assert joined(parts).figures() == whole.figures()
