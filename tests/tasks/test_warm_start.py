"""Staged training: what is taken from an earlier stage, what is new, and what is refused."""

import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from codes import raises
from fairseq import checkpoint_utils
from pretrained import tiny_checkpoints

from emo_fairseq.encoder_spec import WHISPER_PADDINGS, EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modules.lora import is_adapter
from emo_fairseq.tasks.stage_checks import check_same_outputs

Trained = Callable[[str], Path]

TINY = {
    "text_embed_dim": 16,
    "text_ffn_embed_dim": 16,
    "text_attention_heads": 2,
    "text_encoder_layers": 2,
    "speech_embed_dim": 16,
    "speech_ffn_embed_dim": 16,
    "speech_attention_heads": 2,
    "speech_encoder_layers": 1,
    "embedding_dim": 16,
    "fusion": "concat",
}


@pytest.fixture
def stage(
    toy_corpus: Path,
    tmp_path: Path,
    make_task: Callable[..., Any],
    make_model: Callable[..., Any],
) -> Callable[..., Any]:
    """Build a model of some modalities, with options of the task, and of the model as a dict."""

    def build(modality: str, model: dict[str, Any] | None = None, **options: Any) -> Any:
        if "speech" in modality:
            options.setdefault("speech_input", "tokens")
        task = make_task(toy_corpus, modality=modality, **options)
        sizes = {k: v for k, v in TINY.items() if k != "fusion" or "+" in modality}
        if "text_encoder" in options:  # which brings its own
            sizes = {k: v for k, v in sizes.items() if not k.startswith("text_")}
        sizes |= model or {}
        built = make_model(task, **sizes)
        built.knows, built.options = task.state_dict(), sizes  # for `save`
        return built

    return build


@pytest.fixture
def save(tmp_path: Path) -> Callable[[Any], Path]:
    """Write a model as fairseq-train does, with what its task knew or something else."""
    numbers = itertools.count()

    def write(model: Any, **other: Any) -> Path:
        file = tmp_path / f"{next(numbers)}.pt"  # no id(), which later models have again
        config = {
            "task": {"_name": "emotion_prediction"},
            "model": {"_name": "robertaEMO", **model.options},
        }
        state = {"cfg": config, "model": model.state_dict(), "args": None}
        state["task_state"] = copy.deepcopy({**model.knows, **other})
        state |= {"optimizer_history": [{"num_updates": 1, "best_loss": 1.0}]}
        torch.save({**state, "extra_state": {"train_iterator": {"epoch": 1}}}, file)
        return file

    return write


def test_a_text_model_grows_into_one_of_text_and_speech(
    stage: Any, save: Any, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(1)
    first = stage("text")
    torch.manual_seed(2)
    caplog.set_level("INFO")
    second = stage("text+speech", init_from=str(save(first)))
    torch.manual_seed(2)
    fresh = stage("text+speech")
    for name, value in second.state_dict().items():
        source = first.state_dict() if name.startswith(("encoders.text.", "head.")) else None
        if name.startswith("embedding.") and name.endswith("bias"):
            source = first.state_dict()
        expected = (source or fresh.state_dict())[name]
        if name != "fusion.missing.text":  # the same shape, zeros in both
            assert torch.equal(value, expected), name
    n_text = sum(name.startswith("encoders.text.") for name in first.state_dict())
    assert (
        f"loaded 1 of embedding, {n_text} of encoders.text, 1 of fusion, 2 of head" in caplog.text
    )
    assert "new 1 of embedding, " in caplog.text
    assert "not used 1 of embedding" in caplog.text


STANDARDIZED = {"text_tuning": "frozen", "standardize_frozen": True}


def test_a_frozen_encoder_may_be_standardized_in_a_later_stage_alone(
    stage: Any, save: Any, tmp_path: Path
) -> None:
    plain = str(save(stage("text")))
    for option in ("init_from", "init_text_from"):
        later = stage("text", STANDARDIZED, cache_dir=str(tmp_path / "cache"), **{option: plain})
        standardize = later.encoders["text"].standardize
        standardize.set(torch.full((16,), 2.0), torch.full((16,), 4.0))
        standardized = str(save(later))
        again = stage("text", STANDARDIZED, init_from=standardized)
        assert torch.equal(again.encoders["text"].standardize.mean, standardize.mean)
    # What follows the encoder was trained on outputs of another scale; it alone was not.
    with raises("stage-encoder-other") as error:
        stage("text", init_from=standardized)
    assert "--standardize-frozen" in str(error.value)
    encoder = stage("text", init_text_from=standardized).encoders["text"]
    assert encoder.standardize is None
    trained = later.encoders["text"].state_dict()
    assert all(torch.equal(trained[name], value) for name, value in encoder.state_dict().items())


def test_layers_over_standardized_vectors_are_not_put_over_others(stage: Any, save: Any) -> None:
    fused = {"standardize_fused": True}
    first = stage("text", fused)
    first.embedding.standardize.set(torch.full((16,), 2.0), torch.full((16,), 4.0))
    standardized = str(save(first))
    again = stage("text", fused, init_from=standardized)
    assert torch.equal(again.embedding.standardize.mean, first.embedding.standardize.mean)
    with raises("stage-encoder-other") as error:
        stage("text", init_from=standardized)
    assert "--standardize-fused" in str(error.value)
    stage("text", init_text_from=standardized)


def test_an_embedding_keeps_its_activation(stage: Any, save: Any) -> None:
    first = str(save(stage("text", {"embedding_activation": "gelu"})))
    stage("text", {"embedding_activation": "gelu"}, init_from=first)
    with raises("stage-encoder-other") as error:
        stage("text", init_from=first)
    assert "--embedding-activation gelu" in str(error.value)
    stage("text", init_text_from=first)


def test_a_model_of_single_turns_grows_into_one_of_dialogues(
    stage: Any, save: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sizes = {"dialogue_embed_dim": 8}
    torch.manual_seed(1)
    first = stage("text")
    torch.manual_seed(2)
    caplog.set_level("INFO")
    frozen = {**sizes, "fusion_tuning": "frozen", "text_tuning": "frozen"}
    gru = stage("text", frozen, init_from=str(save(first)), dialogue_encoder="gru")
    assert all(torch.equal(gru.state_dict()[k], v) for k, v in first.state_dict().items())
    n_new = sum(name.startswith("dialogue_encoder.") for name in gru.state_dict())
    assert f"new {n_new} of dialogue_encoder" in caplog.text
    assert all(parameter.requires_grad for parameter in gru.dialogue_encoder.parameters())
    assert len(gru.dropouts()) == 2
    with torch.no_grad():
        gru.dialogue_encoder.out_proj.weight.normal_()
    again = stage("text", sizes, init_from=str(save(gru)), dialogue_encoder="gru")
    assert all(torch.equal(again.state_dict()[k], v) for k, v in gru.state_dict().items())
    caplog.clear()
    other = stage("text", sizes, init_from=str(save(gru)), dialogue_encoder="transformer")
    assert "its dialogue encoder is another one" in caplog.text
    assert not other.dialogue_encoder.out_proj.weight.any()
    assert torch.equal(other.head.out_proj.weight, first.head.out_proj.weight)
    alone = stage("text", init_from=str(save(gru)))
    assert torch.equal(alone.head.out_proj.weight, first.head.out_proj.weight)


def test_one_encoder_is_taken_alone(stage: Any, save: Any) -> None:
    torch.manual_seed(1)
    text, speech = stage("text"), stage("speech")
    torch.manual_seed(2)
    both = stage("text+speech", init_text_from=str(save(text)), init_speech_from=str(save(speech)))
    for name, source in (("text", text), ("speech", speech)):
        ours, theirs = both.encoders[name].state_dict(), source.encoders[name].state_dict()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert not torch.equal(both.head.out_proj.weight, text.head.out_proj.weight)


def test_updates_of_lora_are_merged(stage: Any, save: Any) -> None:
    torch.manual_seed(1)
    lora = {"text_tuning": "lora", "lora_targets": "query,ffn"}
    adapted = stage("text", lora, init_text_from=str(save(stage("text"))))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    plain = stage("text", init_text_from=str(save(adapted)))
    tokens = torch.tensor([[0, 9, 8, 2]])
    mask = torch.zeros(1, 4).bool()
    ours, _ = plain.encoders["text"].backbone(tokens=tokens, padding_mask=mask)
    theirs, _ = adapted.encoders["text"].backbone(tokens=tokens, padding_mask=mask)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert not any("lora" in name for name in plain.state_dict())


def hold_adapters_alone(model: Any, modality: str) -> None:
    """Leave out of a model's state what ``--checkpoint-weights trained`` leaves to the files."""
    begins = f"encoders.{modality}.backbone."
    names = [name for name in model.state_dict() if name.startswith(begins)]
    model.leave_out(name for name in names if not is_adapter(name))


def test_adapters_alone_are_no_stage(stage: Any, save: Any) -> None:
    lora = {"text_tuning": "lora", "lora_targets": "query"}
    both = stage("text+speech", lora, init_text_from=str(save(stage("text"))))
    hold_adapters_alone(both, "text")
    file = str(save(both))
    for option in ("init_from", "init_text_from"):
        flag = option.replace("_", "-")
        with raises("stage-encoder-missing") as error:
            stage("text+speech", **{option: file})
        assert f"--{flag} " in str(error.value)
    speech = stage("speech", init_speech_from=file).encoders["speech"].state_dict()
    theirs = both.encoders["speech"].state_dict()
    assert all(torch.equal(speech[name], theirs[name]) for name in theirs)


def test_a_frozen_encoder_that_is_left_to_its_files(
    stage: Any, save: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = [tmp_path / name / "model.pt" for name in ("one", "other")]
    for file in files:
        tiny_checkpoints.roberta(n_symbols=500).save(file)
    one, other = (f"fairseq:{file}" for file in files)
    frozen = {"text_tuning": "frozen", "checkpoint_weights": "trained"}
    first = stage("text", frozen, text_encoder=one)
    assert not any(name.startswith("encoders.") for name in first.state_dict())
    held = str(save(first))
    caplog.set_level("INFO")
    second = stage("text", text_encoder=one, init_from=held)
    assert torch.equal(second.head.out_proj.weight, first.head.out_proj.weight)
    assert f"its text encoder is that of {one}, as here" in caplog.text
    assert f"--init-from {held}: new nothing" in caplog.text
    for options in ({"init_from": held}, {"init_text_from": held}):
        with raises("stage-encoder-missing") as error:
            stage("text", text_encoder=other, **options)
        assert f"give --text-encoder {one}" in str(error.value)


@pytest.mark.parametrize(
    ("modality", "theirs", "message"),
    [
        (
            "text",
            {"text_attention_heads": 4},
            "has --text-attention-heads 4, and this one 2; give --text-attention-heads 4",
        ),
        (
            "speech",
            {"speech_conv_layers": "[(8, 10, 4)] + [(8, 3, 2)]"},
            r"has --speech-conv-layers .*10, 4.* and this one .*10, 5.*; give --speech-conv-layers",
        ),
    ],
)
def test_an_encoder_that_computes_something_else_is_refused(
    stage: Any, save: Any, modality: str, theirs: dict[str, Any], message: str
) -> None:
    ours = {"speech_conv_layers": "[(8, 10, 5)] + [(8, 3, 2)]"} if modality == "speech" else {}
    options = {"speech_input": "waveform"} if modality == "speech" else {}
    file = str(save(stage(modality, {**ours, **theirs}, **options)))
    for option in ("init_from", f"init_{modality}_from"):
        with pytest.raises(UsageError, match=message):
            stage(modality, ours, **options, **{option: file})
    same = str(save(stage(modality, ours, **options)))
    stage(modality, ours, **options, init_from=same)


OURS = EncoderSpec("hf:models/a", "waveform", {"config": {"heads": 2, "dropout": 0.1, "new": 1}})


@pytest.mark.parametrize(
    ("spec", "input_kind", "config", "message"),
    [
        ("hf:models/b", "waveform", {"heads": 2, "dropout": 0.2, "old": 1}, None),
        ("hf:models/b", "waveform", {"heads": 4}, r"config\.heads 4, not 2.*-encoder hf:models/b"),
        ("hf:models/b", "tokens", {"heads": 2}, "input tokens, not waveform"),
        ("fairseq:a.pt", "waveform", {}, "kind fairseq, not hf.*give --x-encoder fairseq:a.pt"),
        ("scratch:", "waveform", {}, "kind scratch, not hf.*leave --x-encoder out"),
    ],
)
def test_cards_tell_what_an_encoder_computes(
    spec: str, input_kind: str, config: dict[str, Any], message: str | None
) -> None:
    theirs = EncoderSpec(spec, input_kind, {"config": config}, weights="others")
    if message is None:
        check_same_outputs("--init-from x.pt", "x", theirs, OURS)
        return
    with pytest.raises(UsageError, match=message):
        check_same_outputs("--init-from x.pt", "x", theirs, OURS)


@pytest.mark.parametrize(("before", "now"), list(itertools.permutations(WHISPER_PADDINGS, 2)))
def test_a_whisper_pads_as_in_the_stage(before: str, now: str) -> None:
    whisper = EncoderSpec("hf:w", "waveform", {"config": {"model_type": "whisper"}})
    theirs, ours = whisper.with_whisper_padding(before), whisper.with_whisper_padding(now)
    with pytest.raises(UsageError, match=before):
        check_same_outputs("--init-from x.pt", "speech", theirs, ours)
    check_same_outputs("--init-from x.pt", "speech", theirs, theirs)


def test_the_way_to_read_the_input_is_the_remedy() -> None:
    theirs, ours = EncoderSpec("scratch:", "tokens"), EncoderSpec("scratch:", "waveform")
    with raises("stage-encoder-other"):
        check_same_outputs("--init-from x.pt", "speech", theirs, ours)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init_speech_from": "text"}, "that model has no speech encoder"),
        ({"init_text_from": "other"}, "its text encoder is another one, .* parameters differ"),
        ({"init_from": "other"}, "its text encoder is another one, .* parameters differ"),
        ({"init_from": "deeper"}, "its text encoder is another one"),
        ({"init_from": "words"}, "symbols are not the"),
        ({"init_text_from": "words"}, "symbols are not the"),
        ({"init_text_from": "padding"}, "id of padding .* is 7, and that of the data 1"),
    ],
)
def test_what_does_not_fit_is_refused(
    stage: Any, save: Any, options: dict[str, str], message: str
) -> None:
    text = stage("text")
    digest = {**text.knows["vocabulary"]["text"], "digest": "of another dictionary"}
    files = {
        "text": save(text),
        "other": save(stage("text", {"text_embed_dim": 8})),
        "deeper": save(stage("text", {"text_encoder_layers": 3})),
    }
    files["words"] = save(stage("text"), vocabulary={"text": digest})
    padding = copy.deepcopy(text.knows["vocabulary"]["text"])
    padding["specials"]["pad"] = 7
    files["padding"] = save(stage("text"), vocabulary={"text": padding})
    given = {name: str(files[which]) for name, which in options.items()}
    with pytest.raises(UsageError, match=message):
        stage("text+speech", **given)


def test_a_head_of_other_labels_is_not_taken(
    stage: Any, save: Any, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(1)
    first = stage("text")
    torch.manual_seed(2)
    second = stage("text", init_from=str(save(first, labels=["sad", "happy", "angry", "calm"])))
    assert not torch.equal(second.head.out_proj.weight, first.head.out_proj.weight)
    assert torch.equal(second.embedding.dense.weight, first.embedding.dense.weight)
    assert "its head is of other labels, and is not loaded" in caplog.text


@pytest.mark.parametrize("target", ["emotion", "binary_emotion"])
def test_the_outputs_of_a_head_are_put_in_the_order_of_the_labels(
    stage: Any, save: Any, target: str
) -> None:
    first = stage("text", target=target)
    labels = first.knows["labels"]
    order = [2, 0, 3, 1]
    file = save(first, labels=[labels[number] for number in order])
    second = stage("text", target=target, init_from=str(file))
    for name in ("weight", "bias"):
        theirs = getattr(first.head.out_proj, name).unflatten(0, (len(labels), -1))
        ours = getattr(second.head.out_proj, name).unflatten(0, (len(labels), -1))
        assert torch.equal(ours[order], theirs)


def test_an_auxiliary_head_of_other_labels_is_not_taken(
    stage: Any, save: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first = stage("text", auxiliary_targets="sentiment")
    labels = first.knows["auxiliary_labels"]["sentiment"]
    head = first.auxiliary_heads["sentiment"].out_proj.weight
    same = stage("text", auxiliary_targets="sentiment", init_from=str(save(first)))
    assert torch.equal(same.auxiliary_heads["sentiment"].out_proj.weight, head)
    file = save(first, auxiliary_labels={"sentiment": [*labels[:-1], "mixed"]})
    other = stage("text", auxiliary_targets="sentiment", init_from=str(file))
    assert not torch.equal(other.auxiliary_heads["sentiment"].out_proj.weight, head)
    assert torch.equal(other.head.out_proj.weight, first.head.out_proj.weight)
    assert "its auxiliary_heads.sentiment is of other labels, and is not loaded" in caplog.text


def test_a_file_that_is_no_checkpoint_is_named(stage: Any, tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_text("no checkpoint")
    with raises("checkpoint-unsafe"):
        stage("text", init_from=str(tmp_path / "x.pt"))


def test_the_file_that_the_test_wrote_is_like_fairseqs(stage: Any, save: Any) -> None:
    state = checkpoint_utils.load_checkpoint_to_cpu(str(save(stage("text"))))
    assert "encoders.text.backbone.sentence_encoder.embed_tokens.weight" in state["model"]
