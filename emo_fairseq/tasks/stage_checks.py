"""Whether the encoder of an earlier stage computes the same as that of the model.

Weights of the same names and shapes may belong to encoders that compute different things.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import nn

from data_prep.messages import first_few
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modules.convolutions import parse_conv_layers
from emo_fairseq.modules.heads import TANH, EmbeddingLayer
from emo_fairseq.task_state import TaskState
from emo_fairseq.tasks.outputs_identity import beside_weights
from emo_fairseq.tasks.stage import Stage, backbone_prefix, prefix, standardization_prefix

_NAMED = 3  # values or parameters that a message names before "..."
_IDLE = ("_name_or_path", "architectures", "id2label", "label2id")  # of an architecture
_FUSED_SCALE = "embedding.standardize.scale"  # with --standardize-fused
_DENSE = "embedding.dense.weight"
_DROPOUT = "drop"  # in the names of what acts in training alone


def check_same(model: nn.Module, state: TaskState, modality: str, stage: Stage) -> None:
    """Check that a stage's encoder is the model's, with the same vocabulary.

    Of one that is left to its files, check that these are the model's.

    Raises:
        UsageError: names what differs, and the remedy.
    """
    vocabulary = stage.task_state.get("vocabulary", {}).get(modality)
    spec = state.encoders[modality]
    before = stage.spec(modality)
    if before is not None:
        check_same_outputs(stage.option, modality, before, spec)
        if stage.left_to_files(modality) and before.weights != spec.weights:
            raise UsageError(
                f"{describe_missing(stage, modality, before)}; give --{modality}-encoder "
                f"{before.spec}, or train the stage with --checkpoint-weights all",
                "stage-encoder-missing",
            )
    _check_shapes(model, modality, stage)
    if not spec.is_pretrained:
        _check_sizes(model, modality, stage)
    if vocabulary is not None and modality in state.vocabularies:
        ours, theirs = state.vocabularies[modality], Vocabulary.from_state(vocabulary)
        ours.check_same(theirs)
        if not spec.is_pretrained and ours.specials.pad != theirs.specials.pad:
            raise UsageError(
                f"{stage.option}: the id of padding of its {modality} encoder is "
                f"{theirs.specials.pad}, and that of the data {ours.specials.pad}; tokenize them "
                "with the stage's own tokenizer files",
                "stage-padding-other",
            )


def describe_missing(stage: Stage, modality: str, spec: EncoderSpec) -> str:
    """Return the beginning of a message about an encoder that is left to its files."""
    return (
        f"{stage.option}: was saved with --checkpoint-weights trained and does not hold its "
        f"{modality} encoder, whose weights are those of {spec.spec} ({spec.weights[:12]})"
    )


def check_same_outputs(option: str, modality: str, theirs: EncoderSpec, ours: EncoderSpec) -> None:
    """Check that two encoders compute the same, whatever their weights and paths.

    What only one of the architectures has is a default of another version of a library.

    Raises:
        UsageError: names what differs, and the remedy.
    """
    alike_padded = theirs.with_whisper_padding(ours.whisper_padding)  # which is compared below
    before = {"kind": theirs.kind, "input": theirs.input, **_acting(alike_padded.architecture)}
    now = {"kind": ours.kind, "input": ours.input, **_acting(ours.architecture)}
    differing = [name for name in before if name in now and before[name] != now[name]]
    if not differing:
        if theirs.whisper_padding != ours.whisper_padding:
            raise UsageError(
                f"{option}: its Whisper reads recordings with --whisper-padding "
                f"{theirs.whisper_padding}, not {ours.whisper_padding}; give that one, as in that "
                "stage",
                "stage-encoder-other",
            )
        return
    remedy = f"give --{modality}-encoder {theirs.spec}"
    if theirs.kind == "scratch" and not theirs.source:
        remedy = f"leave --{modality}-encoder out"
    if theirs.kind == ours.kind == "scratch":
        remedy = f"give --{modality}-input {theirs.input}"
    values = [f"{name} {before[name]}, not {now[name]}" for name in differing]
    raise UsageError(
        f"{option}: its {modality} encoder is another one ({first_few(values, _NAMED)}); {remedy}, "
        "as in that stage",
        "stage-encoder-other",
    )


def _acting(architecture: Mapping[str, Any]) -> dict[str, str]:
    """Return what outputs depend on, by dotted names, as text."""
    return {name: json.dumps(value, default=str) for name, value in _leaves(architecture)}


def _leaves(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if name in _IDLE or _DROPOUT in name:
            continue
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _check_shapes(model: nn.Module, modality: str, stage: Stage) -> None:
    begins, backbone = prefix(modality), backbone_prefix(modality)
    own = {n: v.shape for n, v in model.state_dict().items() if n.startswith(begins)}
    if stage.left_to_files(modality):
        own = {n: shape for n, shape in own.items() if not n.startswith(backbone)}
    theirs = {n: v.shape for n, v in stage.parameters.items() if n.startswith(begins)}
    # Statistics of outputs that one of them has alone are no part of the encoder.
    statistics = standardization_prefix(modality)
    compared = {n for n in own.keys() ^ theirs.keys() if not n.startswith(statistics)}
    compared |= own.keys() & theirs.keys()
    differing = sorted(n for n in compared if own.get(n) != theirs.get(n))
    if differing:
        raise UsageError(
            f"{stage.option}: its {modality} encoder is another one, {len(differing)} parameters "
            f"differ ({first_few(differing, _NAMED)}); give the same encoder, with the same "
            f"--{modality}-layer, to both stages",
            "stage-encoder-other",
        )


def check_standardized(own: Iterable[str], modality: str, stage: Stage) -> None:
    """Refuse what was trained on standardized outputs, in a model that has them as they are."""
    begins = standardization_prefix(modality)
    is_own = any(name.startswith(begins) for name in own)
    if not is_own and any(name.startswith(begins) for name in stage.parameters):
        raise UsageError(
            f"{stage.option}: was trained with --standardize-frozen; give --{modality}-tuning "
            f"frozen --standardize-frozen, or take its encoder alone by --init-{modality}-from",
            "stage-encoder-other",
        )


def check_standardized_fused(own: Iterable[str], stage: Stage) -> None:
    """Refuse what was trained on standardized fused vectors, in a model without."""
    if _FUSED_SCALE in stage.parameters and _FUSED_SCALE not in own:
        raise UsageError(
            f"{stage.option}: was trained with --standardize-fused; give that option here, too, or "
            "take its encoders alone by --init-text-from and the like",
            "stage-encoder-other",
        )


def check_same_activation(model: nn.Module, stage: Stage) -> None:
    """Refuse a layer of the embedding that was trained with another activation."""
    own, theirs = _activation(model), str(stage.options.get("embedding_activation", TANH))
    if own is not None and own != theirs and _DENSE in stage.parameters:
        raise UsageError(
            f"{stage.option}: was trained with --embedding-activation {theirs}, and not {own}; "
            "give that option here, too, or take its encoders alone by --init-text-from and the "
            "like",
            "stage-encoder-other",
        )


def _activation(model: nn.Module) -> str | None:
    embedding = getattr(model, "embedding", None)
    return embedding.activation if isinstance(embedding, EmbeddingLayer) else None


def _check_sizes(model: nn.Module, modality: str, stage: Stage) -> None:
    """Check the sizes of our own encoders that no shape depends on."""
    backbone = model.get_submodule(backbone_prefix(modality).rstrip("."))
    heads = stage.options.get(f"{modality}_attention_heads")
    for own in {*beside_weights(backbone)["num_heads"]}:
        if heads is not None and heads != own:
            raise _other_size(stage, modality, f"--{modality}-attention-heads", heads, own)
    convolutions, own = stage.options.get("speech_conv_layers"), getattr(backbone, "conv_layers", 0)
    if own and convolutions and parse_conv_layers(convolutions, stage.option) != own:
        option, ours = "--speech-conv-layers", "[" + ", ".join(map(str, own)) + "]"
        raise _other_size(stage, modality, option, f'"{convolutions}"', f'"{ours}"')


def _other_size(stage: Stage, modality: str, option: str, theirs: Any, ours: Any) -> UsageError:
    return UsageError(
        f"{stage.option}: its {modality} encoder has {option} {theirs}, and this one {ours}; give "
        f"{option} {theirs}",
        "stage-encoder-other",
    )
