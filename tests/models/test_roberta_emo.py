"""robertaEMO: built for every input and target, and restored or refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from codes import raises
from extended import all_but

from emo_fairseq.models.roberta_emo import EmotionOutput
from emo_fairseq.modules.fusion import ConcatFusion, CrossAttentionFusion
from emo_fairseq.modules.log_mel_encoder import LogMelEncoder
from emo_fairseq.modules.pooling import FirstPooling
from emo_fairseq.modules.token_encoder import TokenEncoder
from emo_fairseq.modules.waveform_encoder import WaveformEncoder

EMBEDDING = 1024
SPEECH_ENCODERS = {"waveform": WaveformEncoder, "log_mel": LogMelEncoder, "tokens": TokenEncoder}
every_speech_input = pytest.mark.parametrize("speech_input", SPEECH_ENCODERS)


@pytest.fixture
def build(
    toy_corpus: Path, make_task: Callable[..., Any], make_model: Callable[..., Any]
) -> Callable[..., tuple[Any, Any]]:
    """A task over the toy corpus and a tiny model for it; options of the model are a dict."""

    def make(model: dict[str, Any] | None = None, **task: Any) -> tuple[Any, Any]:
        set_up = make_task(toy_corpus, **task)
        return set_up, make_model(set_up, **(model or {}))

    return make


@pytest.mark.parametrize(
    ("modality", "speech_input"),
    [("text", None), *((m, s) for m in ("speech", "text+speech") for s in SPEECH_ENCODERS)],
)
def test_shapes_of_the_output(
    build: Callable[..., Any], collate_rows: Any, modality: str, speech_input: str | None
) -> None:
    cut = {} if speech_input in (None, "tokens") else {"max_speech_seconds": 0.5}
    task, model = build(modality=modality, speech_input=speech_input, **cut)
    task.load_dataset("valid")
    batch = collate_rows(task.dataset("valid"), [0, 1, 2])
    output = model(**batch["net_input"])
    assert isinstance(output, EmotionOutput)
    assert output.logits.shape == (3, 4)
    assert output.embedding.shape == (3, EMBEDDING)
    assert output.logits.isfinite().all()
    assert list(model.encoders) == list(task.task_state.modalities)
    if "speech" in task.task_state.modalities:
        assert isinstance(model.encoders["speech"].backbone, SPEECH_ENCODERS[speech_input])


@pytest.mark.parametrize(
    ("target", "width"), [("binary_emotion", 8), ("vad", 3), ("sentiment", 2), ("emotion", 4)]
)
def test_width_of_the_head_follows_from_the_target(
    build: Callable[..., Any], target: str, width: int
) -> None:
    _, model = build(modality="text", target=target)
    assert model.head.out_proj.out_features == width


def test_a_linear_head_reads_the_pooled_frames_themselves(
    build: Callable[..., Any], collate_rows: Any
) -> None:
    sizes = {"speech_embed_dim": 0, "speech_pooling": "mean_std", "head": "linear"}
    task, model = build(sizes, modality="speech", speech_input="log_mel")
    task.load_dataset("valid")
    batch = collate_rows(task.dataset("valid"), [0, 1, 2])["net_input"]
    output = model(**batch)
    (frames, _), (row, *_) = task.dataset("valid").defn["net_input.speech"][0], output.embedding
    statistics = torch.cat([frames.mean(dim=0), frames.std(dim=0, correction=0)])
    torch.testing.assert_close(row, statistics, atol=1e-5, rtol=0)
    torch.testing.assert_close(output.logits, model.head.out_proj(output.embedding))
    assert task.embedding_dim == 160


def test_frames_without_an_encoder_keep_what_is_pooled(build: Callable[..., Any]) -> None:
    frames = {"modality": "speech", "speech_input": "log_mel", "normalize_by": "utterance"}
    for pooling in (None, "mean", "mean_std"):
        with raises("normalization-removes-input"):
            build({"speech_embed_dim": 0, "speech_pooling": pooling}, **frames)
    build({"speech_embed_dim": 0, "speech_pooling": "attention"}, **frames)
    build({"speech_pooling": "mean"}, **frames)


def test_tokens_are_not_taken_as_they_are(build: Callable[..., Any]) -> None:
    with raises("width-without-encoder"):
        build({"text_embed_dim": 0}, modality="text")


@every_speech_input
def test_a_row_is_scored_as_if_alone(
    build: Callable[..., Any], collate_rows: Any, speech_input: str
) -> None:
    cut = {} if speech_input == "tokens" else {"max_speech_seconds": 0.9}
    task, model = build(speech_input=speech_input, **cut)
    task.load_dataset("valid")
    dataset = task.dataset("valid")
    rows = [0, 1, 2]
    together = model(**collate_rows(dataset, rows)["net_input"])
    for row in rows:
        alone = model(**collate_rows(dataset, [row])["net_input"])
        torch.testing.assert_close(together.logits[row], alone.logits[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(together.embedding[row], alone.embedding[0], atol=1e-5, rtol=0)


def test_an_absent_modality_is_not_heard(build: Callable[..., Any], collate_rows: Any) -> None:
    task, model = build(speech_input="tokens")
    task.load_dataset("valid")
    inputs = collate_rows(task.dataset("valid"), [0, 1])["net_input"]
    speech = inputs["speech"]
    speech["present"] = torch.tensor([True, False])
    before = model(**inputs).logits
    speech["tokens"] = torch.where(speech["tokens"] > 3, 5, speech["tokens"])
    after = model(**inputs).logits
    assert not torch.allclose(before[0], after[0], atol=1e-4)
    torch.testing.assert_close(before[1], after[1], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("options", "fusion", "first_token_only", "n_layers"),
    [
        ({}, CrossAttentionFusion, False, 1),
        ({"stack_up": True}, CrossAttentionFusion, True, 1),
        ({"cross_attention_query": "first_token"}, CrossAttentionFusion, True, 1),
        ({"encoder_layers_cross": 3}, CrossAttentionFusion, False, 3),
        ({"fusion": "concat"}, ConcatFusion, None, None),
    ],
)
def test_fusion_of_options(
    build: Callable[..., Any],
    options: dict[str, Any],
    fusion: type,
    first_token_only: bool | None,
    n_layers: int | None,
) -> None:
    _, model = build(options, speech_input="tokens")
    assert type(model.fusion) is fusion
    if n_layers is not None:
        assert model.fusion.first_token_only is first_token_only
        assert {len(layers) for layers in model.fusion.layers.values()} == {n_layers}


def test_heads_of_the_cross_attention(build: Callable[..., Any]) -> None:
    _, model = build({"encoder_attention_heads": 2}, speech_input="tokens")
    (layer,) = model.fusion.layers["text_from_speech"]
    assert layer.attention.num_heads == 2


def test_concat_pools_tokens_by_their_first_and_frames_by_their_mean(
    build: Callable[..., Any],
) -> None:
    for speech_input, first in (("tokens", {"text", "speech"}), ("waveform", {"text"})):
        _, model = build({"fusion": "concat"}, speech_input=speech_input)
        pooled_first = {
            name for name, part in model.fusion.poolers.items() if isinstance(part, FirstPooling)
        }
        assert pooled_first == first


def test_stack_up_needs_both_modalities(build: Callable[..., Any]) -> None:
    with raises("fusion-of-one"):
        build({"stack_up": True}, modality="text")


@pytest.mark.parametrize("arch", all_but({"robertaEMO"}, ["robertaEMO", "robertaEMO_large"]))
def test_large_architectures_can_be_built(build: Callable[..., Any], arch: str) -> None:
    one_layer = {"text_encoder_layers": 1, "speech_encoder_layers": 1}
    _, model = build({"arch": arch, **one_layer})
    text, speech = model.encoders["text"], model.encoders["speech"]
    width = {"robertaEMO": 768, "robertaEMO_large": 1024}[arch]
    assert text.embed_dim == speech.embed_dim == width
    assert text.backbone.n_layers == speech.backbone.n_layers == 1
    assert speech.backbone.feature_extractor.conv_layers[0][0].weight.shape == (512, 1, 10)
    assert model.embedding.dense.weight.shape == (EMBEDDING, 2 * width)


# -- restoring -------------------------------------------------------------------------------------


@pytest.fixture
def model(build: Callable[..., Any]) -> Any:
    return build(modality="text")[1]


def test_parameters_come_back(model: Any, build: Callable[..., Any]) -> None:
    torch.manual_seed(7)
    other = build(modality="text")[1]
    name = "head.out_proj.weight"
    assert not torch.equal(other.state_dict()[name], model.state_dict()[name])
    other.load_state_dict(model.state_dict())
    for key, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[key], value), key


def test_a_missing_parameter_is_named(model: Any) -> None:
    state = model.state_dict()
    del state["head.out_proj.bias"]
    with raises("checkpoint-mismatch") as error:
        model.load_state_dict(state)
    assert "in 1 parameters: head.out_proj.bias is missing" in str(error.value)


def test_a_superfluous_parameter_is_named(model: Any) -> None:
    state = {**model.state_dict(), "head.dense.bias": torch.zeros(2)}
    with raises("checkpoint-mismatch") as error:
        model.load_state_dict(state)
    assert "head.dense.bias is not of this model" in str(error.value)


def test_a_head_of_another_width_is_refused(model: Any) -> None:
    before = model.state_dict()["head.out_proj.weight"].clone()
    state = {**model.state_dict(), "head.out_proj.weight": torch.zeros(7, EMBEDDING)}
    with raises("checkpoint-mismatch") as error:
        model.load_state_dict(state)
    assert "weight is (7, 1024), not (4, 1024)" in str(error.value)
    assert torch.equal(model.state_dict()["head.out_proj.weight"], before)


def test_only_the_first_few_parameters_are_named(model: Any) -> None:
    with raises("checkpoint-mismatch") as error:
        model.load_state_dict({})
    assert "and 39 more" in str(error.value)
    assert len(str(error.value)) < 500


# -- dialogues -------------------------------------------------------------------------------------

every_dialogue_encoder = pytest.mark.parametrize("encoder", ["gru", "transformer"])


def _dialogue(**tensors: Any) -> dict[str, torch.Tensor]:
    """Two dialogues, of rows 0, 2, 1 and of row 3."""
    dialogue = {
        "turns": torch.tensor([[0, 2, 1], [3, 0, 0]]),
        "padding_mask": torch.tensor([[False, False, False], [False, True, True]]),
        "speaker": torch.tensor([[0, 1, 0], [0, -1, -1]]),
        "scored": torch.tensor([3, 1]),
    }
    return {**dialogue, **tensors}


def _with_weights(model: Any) -> Any:
    """The context acts from the start, which it does in no new model."""
    torch.manual_seed(0)
    torch.nn.init.normal_(model.dialogue_encoder.out_proj.weight, std=0.3)
    return model


@every_dialogue_encoder
def test_only_scored_turns_are_returned(
    build: Callable[..., Any], collate_rows: Any, encoder: str
) -> None:
    task, model = build({"dialogue_embed_dim": 16}, dialogue_encoder=encoder, modality="text")
    task.load_dataset("valid")
    inputs = collate_rows(task.dataset("valid").turns, [0, 1, 2, 3])["net_input"]
    output = _with_weights(model)(**inputs, dialogue=_dialogue())
    everything = model(**inputs, dialogue=_dialogue(scored=torch.arange(4)))
    assert output.logits.shape == (2, 4)
    assert output.embedding.shape == (2, task.embedding_dim) == (2, EMBEDDING)
    torch.testing.assert_close(output.logits, everything.logits[[3, 1]])
    torch.testing.assert_close(output.embedding, everything.embedding[[3, 1]])
    in_two_calls = model.classify(model.embed(**inputs), _dialogue())
    torch.testing.assert_close(in_two_calls.logits, output.logits)


@every_dialogue_encoder
def test_rows_without_dialogues_are_dialogues_of_one_turn(
    build: Callable[..., Any], collate_rows: Any, encoder: str
) -> None:
    task, model = build({"dialogue_embed_dim": 16}, dialogue_encoder=encoder, modality="text")
    task.load_dataset("valid")
    inputs = collate_rows(task.dataset("valid").turns, [0, 1, 2, 3])["net_input"]
    alone = _with_weights(model)(**inputs).logits
    together = model(**inputs, dialogue=_dialogue(scored=torch.arange(4))).logits
    torch.testing.assert_close(alone[3], together[3], atol=1e-5, rtol=0)
    assert (alone[:3] - together[:3]).abs().amax(dim=1).min() > 1e-3


def test_a_new_dialogue_model_predicts_as_one_of_single_turns(
    build: Callable[..., Any], collate_rows: Any
) -> None:
    task, model = build({"dialogue_embed_dim": 16}, dialogue_encoder="gru", modality="text")
    _, without = build(modality="text")
    parameters = model.state_dict()
    assert {name for name in parameters if name not in without.state_dict()} == {
        name for name in parameters if name.startswith("dialogue_encoder.")
    }
    without.load_state_dict({name: parameters[name] for name in without.state_dict()})
    task.load_dataset("valid")
    inputs = collate_rows(task.dataset("valid").turns, [0, 1, 2, 3])["net_input"]
    expected = without(**inputs).logits[[3, 1]]
    torch.testing.assert_close(model(**inputs, dialogue=_dialogue()).logits, expected)


@pytest.mark.parametrize(("encoder", "n_layers"), [("gru", 1), ("transformer", 2)])
def test_layers_over_the_turns(build: Callable[..., Any], encoder: str, n_layers: int) -> None:
    _, model = build({"dialogue_embed_dim": 16}, dialogue_encoder=encoder, modality="text")
    assert len(model.dialogue_encoder.context.layers) == n_layers
    given = {"dialogue_embed_dim": 16, "dialogue_layers": 3}
    _, model = build(given, dialogue_encoder=encoder, modality="text")
    assert len(model.dialogue_encoder.context.layers) == 3


def test_attention_is_of_the_scored_turns(build: Callable[..., Any], collate_rows: Any) -> None:
    task, model = build(speech_input="tokens", dialogue_encoder="gru")
    task.load_dataset("valid")
    inputs = collate_rows(task.dataset("valid").turns, [0, 1, 2, 3])["net_input"]
    every = model(**inputs, return_attention=True).attention
    scored = model(**inputs, dialogue=_dialogue(), return_attention=True).attention
    assert every.keys() == scored.keys() == {"text_from_speech", "speech_from_text"}
    for name, weights in scored.items():
        torch.testing.assert_close(weights, every[name][[3, 1]])


@pytest.mark.parametrize(
    ("model", "task", "code"),
    [
        ({"dialogue_layers": 2}, {}, "option-idle"),
        ({"no_dialogue_speakers": True}, {}, "option-idle"),
        ({"dialogue_attention_heads": 2}, {"dialogue_encoder": "gru"}, "option-idle"),
        ({"dialogue_attention_heads": 3}, {"dialogue_encoder": "transformer"}, "heads-indivisible"),
        ({"dialogue_layers": 0}, {"dialogue_encoder": "gru"}, "option-out-of-range"),
        ({}, {"dialogue_causal": True}, "option-idle"),
        ({}, {"dialogue_window": 32}, "option-idle"),
        ({}, {"dialogue_encoder": "gru", "dialogue_window": 1}, "option-out-of-range"),
    ],
)
def test_options_of_dialogues_that_do_not_act(
    build: Callable[..., Any], model: dict[str, Any], task: dict[str, Any], code: str
) -> None:
    with raises(code):
        build(model, modality="text", **task)
