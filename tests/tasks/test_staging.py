"""Staged training: what is taken from an earlier stage, what is new, and what is refused."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fairseq import checkpoint_utils

from emo_fairseq.errors import UsageError

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
            options["speech_input"] = "tokens"
        task = make_task(toy_corpus, modality=modality, **options)
        sizes = {k: v for k, v in TINY.items() if k != "fusion" or modality != "text"}
        built = make_model(task, **{**sizes, **(model or {})})
        built.knows = task.state_dict()  # for `save`
        return built

    return build


@pytest.fixture
def save(tmp_path: Path) -> Callable[[Any], Path]:
    """Write a model as fairseq-train does, with what its task knew or something else."""

    def write(model: Any, **other: Any) -> Path:
        file = tmp_path / f"{id(model)}.pt"
        config = {"task": {"_name": "emotion_prediction"}, "model": {"_name": "robertaEMO"}}
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
    assert f"taken 1 of embedding, {n_text} of encoders.text, 1 of fusion, 2 of head" in caplog.text
    assert "new 1 of embedding, " in caplog.text
    assert "not used 1 of embedding" in caplog.text


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
    adapted = stage("text", {"text_tuning": "lora", "lora_targets": "query,ffn"})
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init_speech_from": "text"}, "that model has no speech encoder"),
        ({"init_text_from": "other"}, "its text encoder is another one, .* parameters differ"),
        ({"init_from": "other"}, "its text encoder is another one, .* parameters differ"),
        ({"init_from": "deeper"}, "its text encoder is another one"),
        ({"init_from": "words"}, "symbols are not the"),
        ({"init_text_from": "words"}, "symbols are not the"),
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
    given = {name: str(files[which]) for name, which in options.items()}
    with pytest.raises(UsageError, match=message):
        stage("text+speech", **given)


def test_a_head_of_other_labels_is_not_taken(
    stage: Any, save: Any, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(1)
    first = stage("text")
    torch.manual_seed(2)
    second = stage("text", init_from=str(save(first, labels=["sad", "happy", "angry", "neutral"])))
    assert not torch.equal(second.head.out_proj.weight, first.head.out_proj.weight)
    assert torch.equal(second.embedding.dense.weight, first.embedding.dense.weight)
    assert "its head is of other labels, and is not taken" in caplog.text


def test_a_file_that_is_no_checkpoint_is_named(stage: Any, tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_text("no checkpoint")
    with pytest.raises(UsageError, match=r"x\.pt: cannot be read as a checkpoint|x\.pt: holds"):
        stage("text", init_from=str(tmp_path / "x.pt"))


def test_the_file_that_the_test_wrote_is_like_fairseqs(stage: Any, save: Any) -> None:
    state = checkpoint_utils.load_checkpoint_to_cpu(str(save(stage("text"))))
    assert "encoders.text.backbone.sentence_encoder.embed_tokens.weight" in state["model"]
