"""Learning rates of models with several encoders, and the precision of a training."""

import pytest
import torch

from emo_fairseq.cli.train import precision as train_precision
from emo_fairseq.cli.train.precision import choose_precision
from emo_fairseq.cli.train.recipes import RECIPES, combine, recipe_key
from emo_fairseq.modalities import MODALITIES
from emo_fairseq.option_values import TUNINGS


@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("hidden_size", [0, 768, 1024])
def test_every_encoder_has_a_recipe(tuning, hidden_size):
    for modality in MODALITIES[:2]:
        assert recipe_key(modality, tuning, True, hidden_size) in RECIPES
    assert recipe_key("video", tuning, False) in RECIPES


def test_the_most_delicate_encoder_sets_the_rate():
    both = combine({"text": ("full", "text"), "speech": ("full", "speech")})
    assert both.recipe.lr == 1e-5
    assert both.recipe.batch_size == 16
    assert both.lr_scales == {"text": 2.0}


def test_beside_frozen_encoders_nothing_is_scaled():
    assert combine({"text": ("frozen", "text"), "speech": ("full", "scratch")}).lr_scales == {}


@pytest.fixture
def cpu(monkeypatch):
    """A machine without a GPU, whose CPU has these units."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return lambda *units: monkeypatch.setattr(train_precision, "cpu_units", lambda: list(units))


def test_auto_is_bf16_where_the_hardware_has_it(cpu, monkeypatch):
    cpu()
    assert choose_precision("auto", True, False, []).name == "fp32"
    cpu("avx512_bf16")
    chosen = choose_precision("auto", True, False, [])
    assert chosen.options == ["--bf16", "--fp16-no-flatten-grads"]
    assert "avx512_bf16" in chosen.reason
    assert choose_precision("auto", False, False, []).name == "fp32", "little is computed"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    for capability, wanted in (((7, 0), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda c=capability: c)
        assert choose_precision("auto", True, False, []).name == wanted


def test_what_is_given_is_taken(cpu):
    cpu("amx_bf16")
    assert choose_precision("fp32", True, False, []).options == []
    assert choose_precision("fp16", False, False, []).name == "fp16"
    assert choose_precision("auto", True, False, ["--fp16"]).options == [], "fairseq has it"
