"""Encoders of dialogues, against plain loops over dialogues and turns."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from emo_fairseq.modules.dialogue import (
    ContextEncoder,
    DialogueEncoder,
    GruContext,
    TransformerContext,
    single_turns,
)

EMBEDDING, WIDTH = 12, 8

BUILD: dict[str, Callable[..., ContextEncoder]] = {
    "gru": lambda **options: GruContext(WIDTH, 2, 0.1, **options),
    "transformer": lambda **options: TransformerContext(WIDTH, 2, 2, 0.1, **options),
}
every_kind = pytest.mark.parametrize("kind", BUILD)
causal_or_not = pytest.mark.parametrize("causal", [False, True])

# Speakers of the dialogues of a batch; None is unknown.
DIALOGUES = (
    ["a", "b", "a", "a", "c", "b", "a"],
    ["x"],
    ["p", None, "p", "q", None],
    [None, None, None],
)


def build(kind: str, causal: bool = False, speakers: bool = True) -> DialogueEncoder:
    """An encoder in evaluation whose weights are all random."""
    torch.manual_seed(3)
    context = BUILD[kind](causal=causal, speakers=speakers)
    encoder = DialogueEncoder(EMBEDDING, context, WIDTH, dropout=0.1)
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.4)
    return encoder.double().eval()


def collate(dialogues: Any, order: Any = None, extra: int = 0) -> dict[str, Tensor]:
    """The dict of a batch; rows are numbered by `order`, and `extra` places are padded."""
    n_rows = sum(map(len, dialogues))
    rows = iter(range(n_rows) if order is None else order)
    length = max(map(len, dialogues)) + extra
    turns = torch.zeros(len(dialogues), length, dtype=torch.long)
    speaker = torch.full_like(turns, -1)
    padding_mask = torch.ones_like(turns, dtype=torch.bool)
    for window, names in enumerate(dialogues):
        known = [name for name in dict.fromkeys(names) if name is not None]
        for place, name in enumerate(names):
            turns[window, place] = next(rows)
            speaker[window, place] = -1 if name is None else known.index(name)
            padding_mask[window, place] = False
    return {
        "turns": turns,
        "padding_mask": padding_mask,
        "speaker": speaker,
        "scored": torch.arange(n_rows),
    }


def embeddings(n_rows: int) -> Tensor:
    return torch.randn(
        n_rows, EMBEDDING, dtype=torch.double, generator=torch.Generator().manual_seed(1)
    )


# -- slow references: one dialogue, one turn, one direction at a time ------------------------------


def reference(encoder: DialogueEncoder, embedding: Tensor, names: list[str | None]) -> Tensor:
    context: Any = encoder.context
    contexts = {GruContext: _gru_reference, TransformerContext: _transformer_reference}
    turns = list(encoder.project(embedding))
    in_context = contexts[type(context)](context, turns, names)
    return embedding + encoder.out_proj(torch.stack(in_context))


def _relation(this: str | None, that: str | None) -> str:
    return "unknown" if None in (this, that) else "same" if this == that else "other"


def _gru_reference(context: Any, turns: list[Tensor], names: list[str | None]) -> list[Tensor]:
    numbers = {"none": 0, "same": 1, "other": 2, "unknown": 3}
    places = list(range(len(turns)))
    parties = {
        name or f"unknown {i}": [
            j for j in places if j == i or (name is not None and names[j] == name)
        ]
        for i, name in enumerate(names)
    }
    ways = [1] if context.causal else [1, -1]
    for layer in context.layers:
        normed = layer.norm(torch.stack(turns))
        grus, marks, read = iter(layer.grus), iter(layer.marks), [[] for _ in turns]
        for way in ways:
            inputs = list(normed)
            if context.speakers:
                mark = next(marks).weight
                order: list[int | None] = [None, *places[::way]]
                for i, before in zip(places[::way], order[:-1], strict=True):
                    kind = "none" if before is None else _relation(names[i], names[before])
                    inputs[i] = inputs[i] + mark[numbers[kind]]
            _run(next(grus), inputs, places[::way], read)
        for way in ways if context.speakers else []:
            gru = next(grus)
            for theirs in parties.values():
                _run(gru, list(normed), theirs[::way], read)
        turns = [x + layer.merge(torch.cat(parts)) for x, parts in zip(turns, read, strict=True)]
    return turns


def _run(gru: nn.GRU, inputs: list[Tensor], order: list[int], read: list[list[Tensor]]) -> None:
    """Append to what is read of each turn a state of the GRU, by its equations."""
    state = torch.zeros(gru.hidden_size, dtype=torch.double)
    for i in order:
        of_input = gru.weight_ih_l0 @ inputs[i] + gru.bias_ih_l0
        of_state = gru.weight_hh_l0 @ state + gru.bias_hh_l0
        (r, z, n), (r_, z_, n_) = of_input.chunk(3), of_state.chunk(3)
        reset, update = (r + r_).sigmoid(), (z + z_).sigmoid()
        state = (1 - update) * (n + reset * n_).tanh() + update * state
        read[i].append(state)


def _transformer_reference(
    context: Any, turns: list[Tensor], names: list[str | None]
) -> list[Tensor]:
    numbers = {"same": 0, "other": 1, "unknown": 2}
    for layer in context.layers:
        normed = [layer.attention_norm(x) for x in turns]
        attention = layer.attention
        width = len(turns[0]) // attention.n_heads
        projected = [attention.in_proj(x).view(3, attention.n_heads, width) for x in normed]
        attended = []
        for i in range(len(turns)):
            heads = []
            for head in range(attention.n_heads):
                seen = [j for j in range(len(turns)) if j <= i or not context.causal]
                scores = []
                for j in seen:
                    score = projected[i][0, head] @ projected[j][1, head] / width**0.5
                    score = score + attention.position_bias[min(16, max(-16, j - i)) + 16, head]
                    if attention.speaker_bias is not None:
                        relation = "same" if i == j else _relation(names[i], names[j])
                        score = score + attention.speaker_bias[numbers[relation], head]
                    scores.append(score)
                weights = torch.stack(scores).softmax(0)
                values = zip(weights, seen, strict=True)
                heads.append(sum(weight * projected[j][2, head] for weight, j in values))
            attended.append(attention.out_proj(torch.cat(heads)))
        turns = [x + y for x, y in zip(turns, attended, strict=True)]
        turns = [x + layer.ffn(layer.ffn_norm(x)) for x in turns]
    return [context.norm(x) for x in turns]


# -- tests -----------------------------------------------------------------------------------------


@every_kind
@causal_or_not
@pytest.mark.parametrize("speakers", [True, False])
def test_a_batch_equals_plain_loops(kind: str, causal: bool, speakers: bool) -> None:
    encoder = build(kind, causal, speakers)
    dialogue = collate(DIALOGUES, order=np.random.default_rng(0).permutation(16).tolist())
    embedding = embeddings(16)
    outputs = encoder(embedding, dialogue)
    for window, names in enumerate(DIALOGUES):
        rows = dialogue["turns"][window, : len(names)]
        expected = reference(encoder, embedding[rows], list(names))
        torch.testing.assert_close(outputs[rows], expected, atol=1e-10, rtol=0)


def test_heads_of_the_transformer_begin_with_either_speaker() -> None:
    """Heads distinguish answers from continuations before anything is learned."""
    context = BUILD["transformer"](causal=False, speakers=True)
    biases = [layer.attention.speaker_bias for layer in context.layers]
    assert biases
    for bias in biases:
        same, other, _ = bias.detach()
        assert (same[::2] > other[::2]).all()
        assert (same[1::2] < other[1::2]).all()


@every_kind
def test_distances_beyond_the_farthest_have_one_bias(kind: str) -> None:
    names = [("a", "b", None)[i % 3] for i in range(20)]
    encoder, embedding = build(kind), embeddings(20)
    outputs = encoder(embedding, collate([names]))
    torch.testing.assert_close(outputs, reference(encoder, embedding, names), atol=1e-10, rtol=0)


@every_kind
@causal_or_not
def test_a_turn_depends_on_the_turns_of_its_dialogue_alone(kind: str, causal: bool) -> None:
    encoder, dialogue = build(kind, causal), collate(DIALOGUES, extra=2)
    embedding = embeddings(16).requires_grad_()
    first = 0
    for names in DIALOGUES:
        for place in range(len(names)):
            row = first + place
            (gradient,) = torch.autograd.grad(
                encoder(embedding, dialogue)[row].sum(), embedding, retain_graph=True
            )
            last = place + 1 if causal else len(names)
            depends = gradient.abs().sum(dim=1).nonzero()[:, 0].tolist()
            assert depends == list(range(first, first + last))
        first += len(names)


@every_kind
@causal_or_not
def test_outputs_do_not_depend_on_the_batch(kind: str, causal: bool) -> None:
    encoder, embedding = build(kind, causal).float(), embeddings(16).float()
    together = encoder(embedding, collate(DIALOGUES, extra=3))
    first = 0
    for names in DIALOGUES:
        rows = slice(first, first + len(names))
        alone = encoder(embedding[rows], collate([names]))
        torch.testing.assert_close(together[rows], alone, atol=2e-6, rtol=1e-6)
        first += len(names)


@every_kind
@causal_or_not
def test_a_dialogue_of_one_is_a_turn_alone(kind: str, causal: bool) -> None:
    encoder, embedding = build(kind, causal), embeddings(3)
    alone = encoder(embedding, single_turns(embedding))
    for names in (["a", "a", "a"], [None, None, None]):
        named = encoder(embedding, collate([[name] for name in names]))
        torch.testing.assert_close(alone, named, atol=1e-12, rtol=0)


@every_kind
def test_names_of_speakers_mean_nothing(kind: str) -> None:
    encoder, embedding, dialogue = build(kind), embeddings(7), collate(DIALOGUES[:1])
    renamed: Mapping[str, Tensor] = {
        **dialogue,
        "speaker": torch.tensor([2, 0, 1])[dialogue["speaker"]],
    }
    outputs = encoder(embedding, dialogue)
    torch.testing.assert_close(encoder(embedding, renamed), outputs, atol=1e-12, rtol=0)
    others = {**dialogue, "speaker": torch.zeros_like(dialogue["speaker"])}
    assert (encoder(embedding, others) - outputs).abs().max() > 1e-3


@every_kind
@causal_or_not
def test_training_starts_from_the_turns_themselves(kind: str, causal: bool) -> None:
    encoder = DialogueEncoder(EMBEDDING, BUILD[kind](causal=causal), WIDTH, dropout=0.5).double()
    embedding, dialogue = embeddings(16), collate(DIALOGUES)
    torch.testing.assert_close(encoder(embedding, dialogue), embedding, atol=0, rtol=0)
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.1)
    for _ in range(2):  # at the first step only the zeros have a gradient
        optimizer.zero_grad()
        encoder(embedding, dialogue).square().sum().backward()
        optimizer.step()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())
