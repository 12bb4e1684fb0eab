"""Sizes that a configuration claims: refused before anything of that size is made."""

import time
from typing import Any

import pytest
import torch
from codes import raises
from torch import nn

from emo_fairseq.compat.size_limits import (
    MAX_COUNT,
    MAX_SIZE,
    Stored,
    build_within,
    check_sizes,
)
from emo_fairseq.errors import UsageError


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ({"text_encoder_layers": 10**7}, "f: model.text_encoder_layers is 1e+07, and at most 1024"),
        ({"num_hidden_layers": MAX_COUNT + 1}, "num_hidden_layers"),
        ({"a": {"encoder_layer": 2000}}, "f: model.a.encoder_layer is 2000"),
        ({"embedding_dim": 10**9}, "embedding_dim is 1e+09, and at most 16777216"),
        ({"conv_dim": [8, 10**12]}, "conv_dim[1] is 1e+12"),
        ({"n_layers": [3, 5000]}, "n_layers[1] is 5000"),
        ({"x": -(10**9)}, "x is -1e+09"),
    ],
)
def test_a_number_that_no_model_has_is_named(options: dict[str, Any], fragment: str) -> None:
    with pytest.raises(UsageError) as error:
        check_sizes(options, "f: model.", "write it again")
    assert fragment in str(error.value)
    assert str(error.value).endswith("; write it again")


def test_sizes_of_models_are_accepted() -> None:
    sizes = {"layers": 48, "dim": 16_384, "vocab_size": 250_002, "flag": True, "name": "10000000"}
    check_sizes({**sizes, "rate": 1e12, "most": MAX_SIZE, "deep_layers": MAX_COUNT}, "f", "")


def test_more_layers_than_are_stored_are_not_built() -> None:
    stored = {"weight": torch.zeros(2, 2)}
    begun = time.process_time()
    with (
        raises("model-too-large"),
        build_within(Stored.of(stored), "f", "write it again"),
    ):
        nn.Sequential(*(nn.Linear(2, 2) for _ in range(10**7)))
    assert time.process_time() - begun < 20


def test_a_larger_tensor_than_is_stored_is_not_filled() -> None:
    stored = {"a": torch.zeros(3)}
    with raises("model-too-large"), build_within(Stored.of(stored), "f", ""):
        nn.Embedding(2**20, 2**10)


def test_what_is_stored_is_built_and_the_bound_ends_with_it() -> None:
    with build_within(Stored.of(nn.Linear(5, 5).state_dict()), "f", ""):
        nn.Linear(5, 5)
    nn.Sequential(*(nn.Linear(1, 1) for _ in range(2000)))  # no longer counted
