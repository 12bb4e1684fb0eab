"""Heads of numbers begin at the mean and the spread of the train split."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data_prep.schema import Utterance, read_manifest
from emo_fairseq.modules.heads import LinearHead

AXES = ("valence", "arousal", "dominance")


def test_a_head_begins_at_mean_and_spread() -> None:
    head = LinearHead(4, 3, 0.0)
    weight, bias = head.out_proj.weight.clone(), head.out_proj.bias.clone()
    head.start_at(torch.tensor([0.6, math.nan, 0.2]), torch.tensor([0.1, math.nan, 0.0]))
    torch.testing.assert_close(head.out_proj.bias[[0, 2]], torch.tensor([0.6, 0.2]))
    torch.testing.assert_close(head.out_proj.weight[0], 0.1 * weight[0])
    torch.testing.assert_close(head.out_proj.weight[1:], weight[1:])
    assert head.out_proj.bias[1] == bias[1]


@pytest.mark.parametrize("options", [{"target": "vad"}, {"auxiliary_targets": "vad"}])
def test_primary_and_auxiliary_heads_of_numbers(
    options: dict[str, str],
    copy_toy: Callable[..., Path],
    make_task: Callable[..., Any],
    make_model: Callable[..., Any],
) -> None:
    def without_first_valence(split: str, rows: list[Utterance]) -> Sequence[Utterance]:
        return [replace(rows[0], valence=None), *rows[1:]]

    data = copy_toy(without_first_valence)
    task = make_task(data, modality="text", **options)
    model = make_model(task)
    head = model.head if "target" in options else model.auxiliary_heads["vad"]
    rows = read_manifest(data / "train.tsv")
    truth = np.array([[getattr(row, axis) or np.nan for axis in AXES] for row in rows], dtype=float)
    mean, std = np.nanmean(truth, axis=0), np.nanstd(truth, axis=0)
    np.testing.assert_allclose(head.out_proj.bias.detach(), mean, atol=1e-6)
    widest = head.out_proj.weight.detach().abs().amax(dim=1) * math.sqrt(1024)
    assert (widest <= torch.from_numpy(std) + 1e-6).all()  # uniform in ± std / sqrt(E)
    assert (widest >= 0.9 * torch.from_numpy(std)).all()


def test_heads_of_labels_are_left_as_they_are(
    toy_corpus: Path, make_task: Callable[..., Any], make_model: Callable[..., Any]
) -> None:
    model = make_model(make_task(toy_corpus, modality="text"))
    assert float(model.head.out_proj.weight.detach().abs().max()) > 0.9 / math.sqrt(1024)
