"""Tuning of a whole model: what learns, what stays, and at which rate."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from codes import raises

from emo_fairseq.tasks import model_building
from emo_fairseq.training.learning_rates import lr_scale

SIZES = {
    "text_embed_dim": 16,
    "text_ffn_embed_dim": 16,
    "text_attention_heads": 2,
    "text_encoder_layers": 2,
    "embedding_dim": 16,
}


@pytest.fixture
def build(
    toy_corpus: Path,
    make_task: Callable[..., Any],
    make_model: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., tuple[Any, Any]]:
    """Make a task and a model from scratch, which may keep its random weights here."""
    monkeypatch.setattr(model_building, "check_nothing_stays_random", lambda *_: None)

    def make(**options: Any) -> tuple[Any, Any]:
        task = make_task(toy_corpus, modality="text")
        return task, make_model(task, **{**SIZES, **options})

    return make


@pytest.fixture
def step(collate_rows: Any) -> Callable[..., Any]:
    """Forward and backward of a batch in training mode."""

    def run(task: Any, model: Any, mode: bool = True) -> Any:
        if "train" not in task.datasets:
            task.load_dataset("train")
        batch = collate_rows(task.dataset("train"), [0, 1, 2, 3])
        output = model.train(mode)(**batch["net_input"])
        torch.nn.functional.cross_entropy(output.logits, batch["target"]).backward()
        return output

    return run


def grown(model: Any) -> set[str]:
    """Parameters with a gradient that is not zero."""
    return {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


def test_a_frozen_encoder_has_no_gradient_and_no_dropout(build: Any, step: Any) -> None:
    task, model = build(text_tuning="frozen", dropout=0.5)
    step(task, model)
    assert not any(name.startswith("encoders.") for name in grown(model))
    assert {"head.out_proj.weight", "embedding.dense.weight"} <= grown(model)
    assert not any(module.training for module in model.encoders["text"].backbone.modules())
    tokens, mask = torch.tensor([[0, 9, 8, 2]]), torch.zeros(1, 4).bool()
    encoder = model.train().encoders["text"]
    present = torch.tensor([True])
    once, again = (encoder(tokens=tokens, padding_mask=mask, present=present)[0] for _ in range(2))
    assert torch.equal(once, again)
    assert not once.requires_grad


def test_the_lowest_layers_are_frozen_with_what_is_below_them(build: Any, step: Any) -> None:
    task, model = build(text_freeze_layers=1, dropout=0.5)
    step(task, model)
    embeddings, lower, top = model.encoders["text"].backbone.blocks()
    for part in (embeddings, lower):
        assert not any(p.requires_grad or p.grad is not None for p in part.parameters())
        assert not any(module.training for child in part.children() for module in child.modules())
    assert all(p.grad is not None for p in top.parameters())
    tokens, mask = torch.tensor([[0, 9, 8, 2]]), torch.zeros(1, 4).bool()
    once, again = (model.encoders["text"].backbone.layers(tokens, mask)[0] for _ in range(2))
    assert all(torch.equal(once[number], again[number]) for number in (0, 1))
    assert not torch.equal(once[2], again[2])


def test_lora_adapts_the_layers_above_the_frozen_ones(build: Any, step: Any) -> None:
    task, model = build(text_tuning="lora", text_freeze_layers=1)
    step(task, model)
    adapted = {name for name, _ in model.named_parameters() if "lora_" in name}
    assert adapted
    assert all(".layers.1." in name for name in adapted)


def test_more_frozen_layers_than_there_are_is_refused(build: Any) -> None:
    with raises("option-out-of-range"):
        build(text_freeze_layers=2)


def test_the_learned_sum_of_a_frozen_encoders_layers_learns(build: Any, step: Any) -> None:
    task, model = build(text_tuning="frozen", text_layer="weighted")
    step(task, model)
    assert {name for name in grown(model) if name.startswith("encoders.")} == {
        "encoders.text.mix.weights"
    }


def test_lora_trains_updates_alone(build: Any, step: Any) -> None:
    task, model = build(text_tuning="lora", lora_rank=3)
    step(task, model)
    in_encoder = {name for name in grown(model) if name.startswith("encoders.")}
    assert in_encoder
    assert all(name.endswith("lora_B") for name in in_encoder)  # B is zero, so A waits a step
    trained = [n for n, p in model.named_parameters() if p.requires_grad and "encoders" in n]
    assert all("lora_" in name for name in trained)


def test_lora_starts_as_the_model_itself(build: Any, collate_rows: Any) -> None:
    logits = []
    for options in ({}, {"text_tuning": "lora"}):
        torch.manual_seed(4)
        task, model = build(**options)
        task.load_dataset("valid")
        logits.append(model(**collate_rows(task.dataset("valid"), [0, 1])["net_input"]).logits)
    assert torch.equal(*logits)


def test_behind_a_frozen_fusion_the_head_learns_alone(build: Any, step: Any) -> None:
    task, model = build(text_tuning="frozen", fusion_tuning="frozen", fusion="gated")
    step(task, model)
    assert {name.split(".")[0] for name in grown(model)} == {"embedding", "head"}


def test_rates_fall_from_the_head_to_the_embeddings(build: Any) -> None:
    _, model = build(layer_lr_decay=0.5, text_lr_scale=0.1, head_lr_scale=2.0)
    blocks = model.encoders["text"].backbone.blocks()
    for height, expected in ((2, 0.1), (1, 0.05), (0, 0.025)):
        assert {round(lr_scale(p), 6) for p in blocks[height].parameters()} == {expected}
    assert {lr_scale(p) for p in model.head.parameters()} == {2.0}


def test_layers_are_unfrozen_from_the_top(build: Any, step: Any) -> None:
    task, model = build(unfreeze_every=10)
    top, middle, bottom = reversed(model.encoders["text"].backbone.blocks())
    for update, learning in (
        (0, [top]),
        (9, [top]),
        (10, [top, middle]),
        (20, [top, middle, bottom]),
    ):
        for schedule in task.schedules:
            schedule.set_num_updates(update)
        model.zero_grad(set_to_none=True)
        step(task, model)
        for block in (top, middle, bottom):
            has_gradient = any(p.grad is not None for p in block.parameters())
            assert has_gradient == (block in learning), update


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_what_stands_above_the_chosen_layer_is_not_trained(
    tuning: str, build: Any, step: Any
) -> None:
    task, model = build(text_layer="1", text_tuning=tuning)
    step(task, model)
    without = {n for n, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert not without
    *acting, top = model.encoders["text"].backbone.blocks()
    assert not any(p.requires_grad for p in top.parameters())
    assert all(any(p.requires_grad for p in block.parameters()) for block in acting[-1:])


def test_unfreezing_begins_at_the_chosen_layer(build: Any, step: Any) -> None:
    task, model = build(text_layer="1", unfreeze_every=10)
    blocks = model.encoders["text"].backbone.blocks()
    for update, learning in ((0, [False, True, False]), (10, [True, True, False])):
        for schedule in task.schedules:
            schedule.set_num_updates(update)
        model.zero_grad(set_to_none=True)
        step(task, model)
        assert [any(p.grad is not None for p in x.parameters()) for x in blocks] == learning


def test_activations_may_be_computed_again(build: Any, step: Any) -> None:
    gradients = []
    for options in ({}, {"checkpoint_activations": True}):
        torch.manual_seed(4)
        task, model = build(dropout=0.0, attention_dropout=0.0, pooler_dropout=0.0, **options)
        step(task, model)
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=0)


@pytest.mark.parametrize("layer", ["0", "1", "2", "last", "mean", "weighted", "concat"])
def test_any_layer_can_be_taken(build: Any, layer: str) -> None:
    _, model = build(text_layer=layer)
    encoder = model.encoders["text"]
    tokens, mask = torch.tensor([[0, 9, 8, 2]]), torch.zeros(1, 4).bool()
    found, _ = encoder.backbone.layers(tokens=tokens, padding_mask=mask)
    features, _ = encoder(tokens=tokens, padding_mask=mask, present=torch.tensor([True]))
    mean = torch.stack(found).mean(dim=0)  # also what the learned sum starts as
    expected = {"last": found[-1], "mean": mean, "weighted": mean}
    expected["concat"] = torch.cat(found, dim=2)
    wanted = expected[layer] if layer in expected else found[int(layer)]
    torch.testing.assert_close(features, wanted, atol=1e-6, rtol=0)
    assert features.size(2) == encoder.embed_dim


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"text_layer": "3"}, "layer-unknown"),
        ({"text_layer": "top"}, "layer-unknown"),
        ({"text_tuning": "frozen", "unfreeze_every": 5}, "option-idle"),
        ({"layer_lr_decay": 0.0}, "option-out-of-range"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    build: Any, options: dict[str, Any], code: str
) -> None:
    with raises(code):
        build(**options)


def test_lora_of_layers_that_are_not_there_is_refused(build: Any) -> None:
    with raises("lora-targets"):
        build(text_tuning="lora", lora_targets="gate")
