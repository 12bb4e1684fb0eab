"""The model's confidence in the truth of the rows it is trained on."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emo_fairseq.tasks.predicting import predict_rows

MakeTask = Callable[..., Any]


def row_losses(task: Any, model: Any, collate: Callable[..., Any]) -> list[float]:
    """Row after row, with the formulas spelt out."""
    dataset = task._build_dataset("train", for_training=False)
    found = []
    for row in range(len(dataset)):
        batch = collate(dataset, [row])
        with torch.no_grad():
            logits = model(**batch["net_input"]).logits.double()[0]
        truth = batch["target"][0]
        if task.target.name == "vad":
            found.append(float((logits - truth).square().mean()))
        elif task.target.name == "emotion":
            found.append(float(logits.logsumexp(dim=0) - logits[truth]))
        else:
            yes = logits.reshape(-1, 2).log_softmax(dim=1)
            said = [yes[k, int(k == truth)] for k in range(len(yes))]
            found.append(-float(torch.stack(said).sum()))
    return found


@pytest.mark.parametrize("target", ["emotion", "binary_emotion", "vad"])
def test_the_log_probability_of_the_truth_or_less_the_squared_error(
    target: str,
    toy_corpus: Path,
    make_task: MakeTask,
    make_model: Callable[..., Any],
    collate_rows: Callable[..., Any],
) -> None:
    task = make_task(toy_corpus, modality="text", target=target)
    model = make_model(task)
    model.train()
    found = task.confidence(2)
    assert model.training
    expected = -np.array(row_losses(task, model.eval(), collate_rows))
    assert len({round(value, 9) for value in expected}) > 20
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_there_is_no_model_to_ask_before_the_second_epoch(
    toy_corpus: Path, make_task: MakeTask, make_model: Callable[..., Any]
) -> None:
    task = make_task(toy_corpus, modality="text")
    make_model(task)
    assert task.confidence(1) is None
    assert task.state.confidence == {}


def test_an_epoch_goes_on_with_the_answers_that_it_began_with(
    toy_corpus: Path, make_task: MakeTask, make_model: Callable[..., Any]
) -> None:
    task = make_task(toy_corpus, modality="text")
    model = make_model(task)
    before = task.confidence(2)
    with torch.no_grad():
        model.head.out_proj.weight.mul_(-3.0)
    assert np.array_equal(task.confidence(2), before)
    resumed = make_task(toy_corpus, modality="text")
    make_model(resumed)  # another one
    resumed.state.merge_state_dict({"confidence": task.state.confidence})
    assert np.array_equal(resumed.confidence(2), before)
    assert not np.array_equal(task.confidence(3), before)


def test_predictions_are_in_the_order_of_their_row_numbers_and_draw_nothing(
    toy_corpus: Path, make_task: MakeTask, make_model: Callable[..., Any]
) -> None:
    task = make_task(toy_corpus, modality="text")
    model = make_model(task).train()
    dataset, device = task._build_dataset("train", for_training=False), torch.device("cpu")
    state = torch.get_rng_state()
    rows, outputs = predict_rows(model, dataset, device)
    assert torch.equal(torch.get_rng_state(), state)
    assert sorted(rows.tolist()) == list(range(len(dataset)))
    parts = [predict_rows(model, dataset, device, slice(rank, None, 3)) for rank in range(3)]
    assert sorted(np.concatenate([part[0] for part in parts]).tolist()) == sorted(rows.tolist())
    by_row = dict(zip(rows.tolist(), outputs, strict=True))
    for part_rows, part_outputs in parts:
        for row, output in zip(part_rows.tolist(), part_outputs, strict=True):
            np.testing.assert_allclose(output, by_row[row], atol=1e-6)
    assert outputs.dtype == np.float64
    assert math.isfinite(outputs.sum())
