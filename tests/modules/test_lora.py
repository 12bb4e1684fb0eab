"""LoRA: inside fairseq's attention and Hugging Face's alike, and without a trace once merged."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import torch
from codes import raises
from fairseq.models.transformer import TransformerConfig, TransformerEncoderBase
from fairseq.models.transformer.transformer_config import EncDecBaseConfig
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertModel,
    DebertaV2Config,
    DebertaV2Model,
    MPNetConfig,
    MPNetModel,
    Wav2Vec2Config,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
)

from emo_fairseq.errors import UsageError
from emo_fairseq.modules.lora import (
    LAYER_NAMES,
    LowRankUpdate,
    add_lora,
    is_adapter,
    merge_lora,
    merged_state_dict,
    original_name,
    plain_state_dict,
)

N_LAYERS, RANK, ALPHA = 2, 3, 6.0
PAD = 1
TOKENS = torch.tensor([[0, 5, 6, 7, 8, 2], [0, 9, 10, 2, PAD, PAD]])
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "attention_dropout": 0.0,
    "hidden_dropout": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "hidden_dropout_prob": 0.0,
}
WORDS = {**SIZES, "vocab_size": 20, "pad_token_id": PAD}
SOUND = {
    **SIZES,
    "conv_dim": (16, 16),
    "conv_kernel": (10, 3),
    "conv_stride": (5, 2),
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "layerdrop": 0.0,
    "activation_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "mask_time_prob": 0.0,
}


def fairseq_encoder() -> nn.Module:
    config = TransformerConfig()
    config.encoder = EncDecBaseConfig(
        embed_dim=16, ffn_embed_dim=32, layers=N_LAYERS, attention_heads=2
    )
    config.dropout = 0.0
    return TransformerEncoderBase(config, None, nn.Embedding(20, 16, PAD))


def run_fairseq(model: nn.Module) -> Tensor:
    return model(TOKENS)["encoder_out"][0].transpose(0, 1)


def run_words(model: nn.Module) -> Tensor:
    return model(TOKENS, attention_mask=TOKENS.ne(PAD)).last_hidden_state


def run_sound(model: nn.Module) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    waveform = torch.randn(2, 400, generator=generator)
    return model(waveform.to(next(model.parameters()).dtype)).last_hidden_state


@dataclass(frozen=True)
class Case:
    """A family of encoders, and the layers of its first block."""

    build: Callable[[], nn.Module]
    run: Callable[[nn.Module], Tensor]
    block: str
    names: str  # of query, key, value, output, and the two feed-forward layers


CASES = {
    "fairseq": Case(
        fairseq_encoder,
        run_fairseq,
        "layers.0.",
        "self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.out_proj fc1 fc2",
    ),
    "bert": Case(
        lambda: BertModel(BertConfig(**WORDS)),
        run_words,
        "encoder.layer.0.",
        "attention.self.query attention.self.key attention.self.value attention.output.dense "
        "intermediate.dense output.dense",
    ),
    "deberta": Case(
        lambda: DebertaV2Model(DebertaV2Config(**WORDS)),
        run_words,
        "encoder.layer.0.",
        "attention.self.query_proj attention.self.key_proj attention.self.value_proj "
        "attention.output.dense intermediate.dense output.dense",
    ),
    "mpnet": Case(
        lambda: MPNetModel(MPNetConfig(**WORDS)),
        run_words,
        "encoder.layer.0.",
        "attention.attn.q attention.attn.k attention.attn.v attention.attn.o "
        "intermediate.dense output.dense",
    ),
    "wav2vec2": Case(
        lambda: Wav2Vec2Model(Wav2Vec2Config(**SOUND)),
        run_sound,
        "encoder.layers.0.",
        "attention.q_proj attention.k_proj attention.v_proj attention.out_proj "
        "feed_forward.intermediate_dense feed_forward.output_dense",
    ),
    "wavlm": Case(
        lambda: WavLMModel(WavLMConfig(**SOUND)),
        run_sound,
        "encoder.layers.0.",
        "attention.q_proj attention.k_proj attention.v_proj attention.out_proj "
        "feed_forward.intermediate_dense feed_forward.output_dense",
    ),
}
every_family = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def adapter_names(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_parameters() if is_adapter(name)]


def updates_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in module.state_dict().items() if is_adapter(name)}


def adapt(
    model: nn.Module,
    dropout: float = 0.0,
    seed: int | None = None,
    dora: bool = False,
    targets: Sequence[str] = tuple(LAYER_NAMES),
) -> nn.Module:
    """Adapt every layer; with a seed as if it had trained for a while."""
    add_lora(model, targets, RANK, ALPHA, dropout, dora)
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in model.named_parameters():
            if is_adapter(name):
                noise = 0.2 * torch.randn(parameter.shape, generator=generator)
                parameter.data.copy_(noise)
    return model


@every_family
def test_each_name_means_the_layers_of_the_family(case: Case) -> None:
    query, key, value, output, *ffn = [case.block + name for name in case.names.split()]
    expected = {"query": [query], "key": [key], "value": [value], "output": [output], "ffn": ffn}
    for target, layers in expected.items():
        adapted = add_lora(case.build(), [target], RANK, ALPHA, 0.0)
        assert [name for name in adapted if name.startswith(case.block)] == layers
        assert len(adapted) == N_LAYERS * len(layers)


@every_family
def test_the_start_is_the_pretrained_model(case: Case) -> None:
    model = case.build().eval()
    before = case.run(model)
    assert torch.equal(case.run(adapt(model, dropout=0.5)), before)
    assert torch.equal(case.run(model.train()), before)


@every_family
def test_dora_starts_at_the_pretrained_model(case: Case) -> None:
    model = case.build().double().eval()
    before = case.run(model)
    adapt(model, dropout=0.5, dora=True)
    torch.testing.assert_close(case.run(model), before, atol=1e-12, rtol=0)


@every_family
def test_only_the_updates_learn_and_all_of_them(case: Case) -> None:
    model = adapt(case.build()).train()
    is_b = [name for name in adapter_names(model) if name.endswith("lora_B")]
    assert len(is_b) == 6 * N_LAYERS
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for step in range(2):
        optimizer.zero_grad()
        output = case.run(model)
        (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
        for name, parameter in model.named_parameters():
            if not is_adapter(name):
                assert parameter.grad is None, name
            elif name.endswith("lora_B") or step == 1:
                assert parameter.grad.abs().max() > 0, (name, step)
            else:
                assert parameter.grad.abs().max() == 0, name  # B is zero yet
        optimizer.step()


@every_family
def test_train_and_eval_are_the_same_without_dropout(case: Case) -> None:
    model = adapt(case.build(), seed=1).double()  # torch's attention has several kernels
    with torch.no_grad():  # where a fast path would be taken, if one were
        evaluated = case.run(model.eval())
    torch.testing.assert_close(case.run(model.train()), evaluated, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
@every_family
@torch.no_grad()
def test_merging_leaves_a_plain_model_that_computes_the_same(case: Case, dora: bool) -> None:
    plain = case.build().eval()
    model = adapt(copy.deepcopy(plain), dropout=0.5, seed=1, dora=dora).eval()
    adapted = case.run(model)
    assert not torch.allclose(adapted, case.run(plain), atol=1e-3)
    merged = merged_state_dict(model.state_dict())
    merge_lora(model.train())
    torch.testing.assert_close(case.run(model.eval()), adapted, atol=2e-6, rtol=1e-5)
    assert {type(part) for part in model.modules()} == {type(part) for part in plain.modules()}
    assert set(model.state_dict()) == set(plain.state_dict())
    for name, tensor in model.state_dict().items():
        assert torch.equal(merged[name], tensor)
    plain.load_state_dict(merged)
    assert torch.equal(case.run(plain.requires_grad_(False)), case.run(model))


@torch.no_grad()
def test_fairseqs_attention_uses_the_update() -> None:
    """What runs is W + (alpha / r) B A of the paper, in attention and feed-forward."""
    case = CASES["fairseq"]
    model = adapt(case.build(), seed=1).eval()
    adapted = model.state_dict()
    state = plain_state_dict(adapted)
    for name, b in updates_of(model).items():
        if name.endswith("lora_B"):
            a = adapted[name.replace("lora_B", "lora_A")]
            weight = original_name(name.replace("0.lora_B", "original"))
            state[weight] = state[weight] + ALPHA / RANK * (b @ a)
    by_hand = case.build().eval().requires_grad_(False)
    by_hand.load_state_dict(state)
    torch.testing.assert_close(case.run(model), case.run(by_hand), atol=1e-6, rtol=0)


@torch.no_grad()
def test_merging_a_copy_leaves_the_original_adapted() -> None:
    case = CASES["fairseq"]
    model = adapt(case.build(), seed=1).eval()
    adapted = case.run(model)
    duplicate = copy.deepcopy(model)
    merge_lora(duplicate)
    assert adapter_names(model)
    assert not adapter_names(duplicate)
    assert torch.equal(case.run(model), adapted)
    torch.testing.assert_close(case.run(duplicate), adapted, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
def test_a_called_layer_computes_what_its_weight_says(dora: bool, bias: bool) -> None:
    """Output and gradients by way of the factors are those of the updated weight."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"fc1": nn.Linear(6, 5, bias=bias)}).double()
    adapt(model, seed=1, dora=dora, targets=["fc1"])
    layer = model["fc1"]
    x = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    probe = torch.randn(2, 3, 5, dtype=torch.float64)
    learned = [p for p in model.parameters() if p.requires_grad]
    assert len(learned) == 2 + dora
    results = []
    for output in (layer(x), nn.functional.linear(x, layer.weight, layer.bias)):
        gradients = torch.autograd.grad((output * probe).sum(), [x, *learned])
        results.append([output, *gradients])
    torch.testing.assert_close(*results, atol=1e-12, rtol=1e-12)


def test_dora_is_equation_5_of_the_paper() -> None:
    """m (W + s B A) / ||W + s B A||, the norm being that of each row, without a gradient."""
    weight = torch.randn(4, 6, dtype=torch.float64)
    update = LowRankUpdate(weight, RANK, ALPHA, 0.0, dora=True)
    nn.init.normal_(update.lora_B)
    nn.init.uniform_(update.lora_magnitude_vector, 1.0, 2.0)
    expected = torch.zeros_like(weight)
    direction = (weight + ALPHA / RANK * update.lora_B @ update.lora_A).detach()
    for row in range(4):
        length = sum(float(x) ** 2 for x in direction[row]) ** 0.5
        expected[row] = update.lora_magnitude_vector[row] * direction[row] / length
    torch.testing.assert_close(update(weight), expected)
    update(weight).sum().backward()
    factor = update.lora_magnitude_vector.detach() / direction.detach().norm(dim=1)
    by_hand = ALPHA / RANK * factor[:, None] * update.lora_A.detach().sum(dim=1)
    torch.testing.assert_close(update.lora_B.grad, by_hand)


def test_a_called_layer_drops_features_of_each_token() -> None:
    model = nn.ModuleDict({"fc1": nn.Linear(1000, 4, bias=False)})
    adapt(model, dropout=0.25, targets=["fc1"])
    layer = model["fc1"]
    update = layer.parametrizations.weight[0]
    with torch.no_grad():
        layer.parametrizations.weight.original.zero_()
        update.lora_B.zero_()[:, 0] = 1.0
        update.lora_A.fill_(1 / 1000)
    x = torch.ones(2, 8, 1000)
    whole = ALPHA / RANK
    torch.testing.assert_close(layer.eval()(x), torch.full((2, 8, 4), whole))
    dropped = layer.train()(x)[..., 0].flatten()
    assert len(dropped.unique()) > 8  # other features of each of the 16 tokens
    assert dropped.mean().item() == pytest.approx(whole, rel=0.03)
    spread = whole * (0.25 / 0.75 / 1000) ** 0.5
    assert dropped.std().item() == pytest.approx(spread, rel=0.6)


def test_a_weight_that_is_read_drops_features_of_all_tokens_in_training_only() -> None:
    update = LowRankUpdate(torch.zeros(4, 1000), RANK, ALPHA, dropout=0.25)
    nn.init.ones_(update.lora_A)
    nn.init.ones_(update.lora_B)
    weight = torch.zeros(4, 1000)
    whole = torch.full((4, 1000), ALPHA)
    torch.testing.assert_close(update.eval()(weight), whole)
    dropped = update.train()(weight)
    kept = dropped[0] != 0
    assert torch.equal(kept, (dropped != 0).all(dim=0))  # whole columns: features of the input
    torch.testing.assert_close(dropped[:, kept], whole[:, kept] / 0.75)
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.06)
    assert not torch.equal(update(weight), update(weight))


def test_dropout_follows_the_models_mode() -> None:
    case = CASES["fairseq"]
    model = adapt(case.build(), dropout=0.5, seed=1)
    assert not torch.equal(case.run(model.train()), case.run(model))
    assert torch.equal(case.run(model.eval()), case.run(model))


@every_family
def test_state_dicts_to_and_fro(case: Case) -> None:
    plain = case.build().eval()
    model = adapt(case.build(), seed=1).eval()
    state = model.state_dict()
    # The whole, and in parts: the pretrained weights, and the updates.
    whole = adapt(case.build())
    whole.load_state_dict(state)
    assert torch.equal(case.run(whole.eval()), case.run(model))
    assert set(plain_state_dict(state)) == set(plain.state_dict())
    plain.load_state_dict(plain_state_dict(state))
    parts = adapt(copy.deepcopy(plain)).eval()
    assert torch.equal(case.run(parts), case.run(plain))
    updates = updates_of(model)
    assert [name for name in updates if not name.endswith(".scale")] == adapter_names(model)
    assert parts.load_state_dict(updates, strict=False).unexpected_keys == []
    assert torch.equal(case.run(parts), case.run(model))


def test_updates_alone_cannot_be_merged() -> None:
    updates = updates_of(adapt(CASES["fairseq"].build(), seed=1))
    message = r"LoRA's update of layers\.0\.\S+\.weight but not the weight"
    with pytest.raises(ValueError, match=message):
        merged_state_dict(updates)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@every_family
def test_half_precision(case: Case, dtype: torch.dtype) -> None:
    model = adapt(case.build(), seed=1).eval()
    exact = case.run(model)
    model.to(dtype)
    output = case.run(model)
    assert output.dtype == dtype
    torch.testing.assert_close(output.float(), exact, atol=0.1, rtol=0.1)
    output.float().square().sum().backward()
    assert all(p.grad.dtype == dtype for p in model.parameters() if p.requires_grad)


def test_layers_that_share_a_weight_share_its_update() -> None:
    model = nn.ModuleDict({"fc1": nn.Linear(4, 4), "fc2": nn.Linear(4, 4)})
    model["fc2"].weight = model["fc1"].weight
    before = model["fc1"].weight.detach().clone()
    assert add_lora(model, ["fc1", "fc2"], 2, 4.0, 0.0) == ["fc1", "fc2"]
    assert len(adapter_names(model)) == 2
    update = model["fc1"].parametrizations.weight[0]
    nn.init.ones_(update.lora_B)
    expected = before + 2 * update.lora_B @ update.lora_A
    merge_lora(model)
    torch.testing.assert_close(model["fc1"].weight, expected)
    assert model["fc2"].weight is model["fc1"].weight


def test_a_literal_ending_is_a_target_too() -> None:
    model = CASES["bert"].build()
    assert add_lora(model, ["layer.1.intermediate.dense", "pooler.dense"], 2, 4.0, 0.0) == [
        "encoder.layer.1.intermediate.dense",
        "pooler.dense",
    ]


@pytest.mark.parametrize(
    ("targets", "rank", "alpha", "dropout", "message"),
    [
        (["query", "vlaue"], 2, 4.0, 0.0, r"called vlaue; use query, .*encoder\.layer\.\*\.attent"),
        ([], 2, 4.0, 0.0, "name the layers to adapt"),
        (["query"], 0, 4.0, 0.0, "rank of at least 1"),
        (["query"], 2, 0.0, 0.0, "positive alpha"),
        (["query"], 2, 4.0, 1.0, "dropout in"),
    ],
)
def test_mistakes(
    targets: list[str], rank: int, alpha: float, dropout: float, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        add_lora(CASES["bert"].build(), targets, rank, alpha, dropout)


def test_adapting_twice_is_refused() -> None:
    model = adapt(CASES["fairseq"].build())
    with raises("lora-twice"):
        add_lora(model, ["ffn"], 2, 4.0, 0.0)
