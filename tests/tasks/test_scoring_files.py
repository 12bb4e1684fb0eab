"""Scoring: every utterance once, and no figures of a model whose outputs are no numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from codes import raises
from fairseq.logging import metrics
from omegaconf import OmegaConf

from emo_fairseq.evaluation import predictions


@pytest.fixture
def score(
    toy_corpus: Path,
    tmp_path: Path,
    make_task: Callable[..., Any],
    make_model: Callable[..., Any],
    collate_rows: Callable[..., dict[str, Any]],
) -> Callable[..., Path]:
    """Score batches of the toy's test split, as fairseq-validate does; the predictions file."""

    def run(*batches: range, bias: float = 0.0) -> Path:
        file = tmp_path / "p.tsv"
        trained = make_task(toy_corpus, modality="text")
        task = make_task(
            toy_corpus, from_checkpoint=True, modality="text", save_predictions=str(file)
        )
        task.load_state_dict(dict(trained.state_dict()))
        model = make_model(trained)
        torch.nn.init.constant_(list(model.head.parameters())[-1], bias)
        criterion = task.build_criterion(OmegaConf.create({"_name": "emotion_prediction_cri"}))
        criterion.eval()
        task.load_dataset("test")
        outputs = [
            task.valid_step(collate_rows(task.dataset("test"), rows), model, criterion)[2]
            for rows in batches
        ]
        with metrics.aggregate():
            task.reduce_metrics(outputs, criterion)
        return file

    return run


def test_every_utterance_is_scored(score: Callable[..., Path]) -> None:
    assert len(predictions.read(score(range(5), range(5, 12)))) == 12


@pytest.mark.parametrize(
    ("batches", "count"), [((range(5), range(5, 11)), 11), ((range(12), range(11, 12)), 13)]
)
def test_utterances_that_are_left_out_or_scored_twice_are_refused(
    score: Callable[..., Path], batches: tuple[range, ...], count: int
) -> None:
    with raises("rows-not-scored") as error:
        score(*batches)
    assert f"{count} predictions for the 12 utterances" in str(error.value)


@pytest.mark.parametrize("bias", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_refused(score: Callable[..., Path], bias: float) -> None:
    with raises("loss-undefined"):
        score(range(5), range(5, 12), bias=bias)
