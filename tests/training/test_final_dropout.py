"""Dropout that rises when a curriculum has ended."""

import logging

import torch
from torch import nn

from emo_fairseq.training.final_dropout import FinalDropout


def rates(*dropouts: nn.Dropout) -> list[float]:
    return [dropout.p for dropout in dropouts]


def test_each_has_its_own_rate_until_the_curriculum_ends() -> None:
    embedding, head = nn.Dropout(0.1), nn.Dropout(0.2)
    final = FinalDropout([embedding, head], 0.6, after_epoch=3)
    course = []
    for epoch in range(1, 6):
        final.begin_epoch(epoch)
        course.append(rates(embedding, head))
    assert course == [[0.1, 0.2], [0.1, 0.2], [0.1, 0.2], [0.6, 0.6], [0.6, 0.6]]


def test_a_resumed_training_begins_where_it_is() -> None:
    dropout = nn.Dropout(0.1)
    final = FinalDropout([dropout], 0.6, after_epoch=3)
    final.begin_epoch(7)
    assert rates(dropout) == [0.6]
    final.begin_epoch(2)  # an earlier checkpoint of the same run
    assert rates(dropout) == [0.1]


def test_it_acts_in_training_alone() -> None:
    dropout = nn.Dropout(0.0)
    FinalDropout([dropout], 0.6, after_epoch=1).begin_epoch(2)
    ones = torch.ones(10_000)
    assert (dropout(ones) == 0).float().mean().item() > 0.55
    assert torch.equal(dropout.eval()(ones), ones)


def test_it_may_fall_too_and_says_each_change_once(caplog) -> None:
    caplog.set_level(logging.INFO)
    dropout = nn.Dropout(0.5)
    final = FinalDropout([dropout], 0.0, after_epoch=1)
    for epoch in (1, 2, 3):
        final.begin_epoch(epoch)
    assert caplog.messages == ["epoch 2: dropout changed from 0.5 to 0"]
