"""What a start leaves out: garbage collection, and random values that are replaced."""

import gc

import pytest
import torch
import transformers
from torch import nn

from emo_fairseq.compat.garbage_collection import no_garbage_collection
from emo_fairseq.compat.initialization import SkipRandomParameters


def test_the_collector_is_paused_and_then_as_it_was() -> None:
    assert gc.isenabled()
    with no_garbage_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), no_garbage_collection():
        _ = 1 / 0
    assert gc.isenabled()
    gc.disable()
    try:
        with no_garbage_collection():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


class Layers(nn.Module):
    """Parameters and buffers that are filled in the ways of torch, fairseq and transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.embedding = nn.Linear(4, 3), nn.Embedding(5, 4, padding_idx=1)
        self.lstm, self.norm = nn.LSTM(3, 3), nn.LayerNorm(3)
        self.drawn = nn.Parameter(torch.empty(3, 3))
        nn.init.trunc_normal_(self.drawn, std=0.02)
        nn.init.xavier_uniform_(tensor=self.linear.weight)
        self.register_buffer("directions", nn.init.normal_(torch.empty(2, 3)), persistent=False)
        self.register_buffer("codes", torch.empty(2, 3).uniform_(-1.0, 1.0), persistent=False)


def test_parameters_that_are_loaded_are_not_drawn_and_buffers_are() -> None:
    torch.manual_seed(3)
    drawn = [nn.init.normal_(torch.empty(2, 3)), torch.empty(2, 3).uniform_(-1.0, 1.0)]
    torch.manual_seed(3)
    with SkipRandomParameters():
        model = Layers()
    assert torch.equal(model.directions, drawn[0])
    assert torch.equal(model.codes, drawn[1])
    assert model.norm.weight.tolist() == [1.0, 1.0, 1.0]
    zeros = (model.linear.weight, model.embedding.weight, model.drawn, model.lstm.weight_hh_l0)
    assert not any(parameter.any() for parameter in zeros)
    stored = Layers().state_dict()
    model.load_state_dict(stored)
    assert all(torch.equal(value, stored[name]) for name, value in model.state_dict().items())
    before = model.linear.weight.clone()
    model.linear.reset_parameters()  # which draws again
    assert not torch.equal(model.linear.weight, before)


def test_parameters_of_a_model_of_transformers_are_not_drawn_either() -> None:
    """It fills them by functions of its own, and once more after it is built."""
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    config = transformers.BertConfig(vocab_size=9, num_hidden_layers=1, **sizes)
    before = torch.get_rng_state()
    with SkipRandomParameters():
        model = transformers.BertModel(config)
    assert torch.equal(torch.get_rng_state(), before)
    assert not model.get_input_embeddings().weight.any()
    assert transformers.BertModel(config).get_input_embeddings().weight.any()
