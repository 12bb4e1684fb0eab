"""Adapters in peft's format: its names and settings, to and fro, and what is refused."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from codes import raises
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from emo_fairseq.modules.lora import add_lora, is_adapter
from emo_fairseq.pretrained.peft_adapters import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    library_model,
    load_adapter,
    write_adapter,
)

RANK, ALPHA = 3, 6.0
TOKENS = torch.tensor([[2, 5, 6, 7, 8, 3], [2, 9, 10, 3, 0, 0]])
kinds = pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])


def build() -> nn.Module:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
    )
    return BertModel(config, add_pooling_layer=False).eval()


def adapt(model: nn.Module, dora: bool, seed: int | None = None, rank: int = RANK) -> nn.Module:
    add_lora(model, ["query", "ffn"], rank, ALPHA, 0.1, dora)
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in model.named_parameters():
            if is_adapter(name):
                parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


@torch.no_grad()
def run(model: Any) -> Tensor:
    return model(input_ids=TOKENS, attention_mask=TOKENS.ne(0).long()).last_hidden_state


@kinds
def test_files_have_the_published_names(dora: bool, tmp_path: Path) -> None:
    layers = write_adapter(tmp_path, adapt(build(), dora, seed=1), "some/model")
    config = json.loads((tmp_path / CONFIG_FILE).read_text())
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", RANK, ALPHA)
    assert (config["use_dora"], config["target_modules"]) == (dora, layers)
    assert config["base_model_name_or_path"] == "some/model"
    stored = load_file(tmp_path / WEIGHTS_FILE)
    layer = "base_model.model.encoder.layer.1.intermediate.dense"
    assert stored[f"{layer}.lora_A.weight"].shape == (RANK, 16)
    assert stored[f"{layer}.lora_B.weight"].shape == (32, RANK)
    assert len(stored) == len(layers) * (2 + dora) == 6 * (2 + dora)
    if dora:
        assert stored[f"{layer}.lora_magnitude_vector"].shape == (32,)


@kinds
def test_what_was_written_is_read(dora: bool, tmp_path: Path) -> None:
    written, other = adapt(build(), dora, seed=1), adapt(build(), dora)
    assert not torch.allclose(run(other), run(written), atol=1e-3)
    write_adapter(tmp_path, written)
    load_adapter(other, tmp_path)
    assert torch.equal(run(other), run(written))


@kinds
def test_peft_computes_the_same_and_back(dora: bool, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    ours = adapt(build(), dora, seed=1)
    write_adapter(tmp_path / "ours", ours)
    theirs = peft.PeftModel.from_pretrained(build(), str(tmp_path / "ours")).eval()
    torch.testing.assert_close(run(theirs), run(ours), atol=1e-5, rtol=0)
    generator = torch.Generator().manual_seed(3)
    for name, parameter in theirs.named_parameters():
        if "lora_" in name:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    theirs.train().eval()  # empties peft's cache of DoRA's lengths
    theirs.save_pretrained(str(tmp_path / "theirs"))
    load_adapter(ours, tmp_path / "theirs")
    torch.testing.assert_close(run(ours), run(theirs), atol=1e-5, rtol=0)


def _change(folder: Path, **values: Any) -> None:
    file = folder / CONFIG_FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize(
    ("values", "code", "message"),
    [
        ({"bias": "all"}, "adapter-unsupported", "bias all"),
        ({"use_rslora": True}, "adapter-unsupported", "use_rslora"),
        ({"rank_pattern": {"query": 4}}, "adapter-unsupported", "rank_pattern"),
        ({"peft_type": "IA3"}, "adapter-unsupported", "IA3"),
        ({"lora_alpha": 8.0}, "adapter-other", "--lora-alpha 8.0, here it is 6.0"),
        ({"use_dora": True}, "adapter-other", "--lora-dora"),
        ({"r": 0}, "adapter-unreadable", "r"),
    ],
    ids=str,
)
def test_another_kind_of_adapter(
    values: dict[str, Any], code: str, message: str, tmp_path: Path
) -> None:
    model = adapt(build(), dora=False)
    write_adapter(tmp_path, model)
    _change(tmp_path, **values)
    with raises(code) as error:
        load_adapter(model, tmp_path)
    assert message in str(error.value)


def test_other_layers_ranks_and_faulty_files(tmp_path: Path) -> None:
    model = adapt(build(), dora=False)
    with raises("adapter-unreadable"):
        load_adapter(model, tmp_path)
    write_adapter(tmp_path, model)
    fewer = build()
    add_lora(fewer, ["query"], RANK, ALPHA, 0.0)
    with raises("adapter-other"):
        load_adapter(fewer, tmp_path)
    with raises("adapter-other"):
        load_adapter(adapt(build(), dora=False, rank=RANK + 1), tmp_path)
    stored = load_file(tmp_path / WEIGHTS_FILE)
    name = next(iter(stored))
    save_file({**stored, name: torch.zeros(1, 1)}, tmp_path / WEIGHTS_FILE)
    with raises("weights-mismatch"):
        load_adapter(model, tmp_path)
    save_file({**stored, name: stored[name] * torch.nan}, tmp_path / WEIGHTS_FILE)
    with raises("weights-not-finite"):
        load_adapter(model, tmp_path)
    (tmp_path / WEIGHTS_FILE).write_bytes(b"x")
    with raises("adapter-unreadable"):
        load_adapter(model, tmp_path)
    with raises("lora-missing"):
        write_adapter(tmp_path, build())
    with raises("adapter-other"):
        library_model(copy.deepcopy(nn.Linear(1, 1)))
