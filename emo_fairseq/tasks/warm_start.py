"""Start a training from the weights of an earlier stage, as the options ``--init-*`` name it."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import MODALITIES
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.modules.lora import has_lora
from emo_fairseq.pretrained.peft_adapters import library_model, load_adapter
from emo_fairseq.task_state import TaskState
from emo_fairseq.tasks.config import EmotionPredictionConfig
from emo_fairseq.tasks.provenance import Accept
from emo_fairseq.tasks.stage import Stage, backbone_prefix, prefix, read_stage
from emo_fairseq.tasks.stage_checks import (
    check_same,
    check_same_activation,
    check_standardized,
    check_standardized_fused,
    describe_missing,
)

logger = logging.getLogger(__name__)

_DIALOGUE_ENCODER = "dialogue_encoder."  # in the names of its parameters


def warm_start(
    model: nn.Module, cfg: EmotionPredictionConfig, state: TaskState, accept: Accept
) -> None:
    """Load the parameters of ``--init-from`` and ``--init-{modality}-from`` into a new model.

    The former loads whatever fits: a bare text model grows into one of text and speech; heads of
    other labels are left. Of an encoder, by either, all is loaded or nothing. LoRA's updates are
    merged.

    Raises:
        UsageError: a checkpoint of another task, or one whose encoder is missing, is another one
            or has another vocabulary.
    """
    if cfg.init_from:
        _load_what_fits(model, state, read_stage("--init-from", cfg.init_from, accept))
    for modality in state.modalities:
        if path := getattr(cfg, f"init_{modality}_from"):
            stage = read_stage(f"--init-{modality}-from", path, accept, only=prefix(modality))
            _load_encoder(model, state, modality, stage)


def start_with_adapter(
    model: RobertaEMOModel, cfg: EmotionPredictionConfig, accept: Accept
) -> None:
    """Load the adapter of ``--lora-from`` into LoRA of the encoder that it belongs to.

    Raises:
        UsageError: several encoders have LoRA, or none of Hugging Face, or the adapter is another
            one.
    """
    if not cfg.lora_from:
        return
    adapted = [
        encoder.backbone for encoder in model.encoders.values() if has_lora(encoder.backbone)
    ]
    if len(adapted) != 1:
        raise UsageError(
            f"--lora-from {cfg.lora_from}: {len(adapted)} encoders have LoRA, and an adapter is of "
            "one; give --tuning lora to the encoder of the adapter alone",
            "adapter-other",
        )
    accept("--lora-from", cfg.lora_from, None)
    load_adapter(library_model(adapted[0]), Path(cfg.lora_from))


def check_files_give_weights(cfg: EmotionPredictionConfig) -> None:
    """Refuse ``--checkpoint-weights trained`` with encoders that an earlier stage initializes.

    Raises:
        UsageError: their weights are not those of their files; names the option.
    """
    for option in ("init_from", *(f"init_{name}_from" for name in MODALITIES)):
        if getattr(cfg, option):
            flag = option.replace("_", "-")
            raise UsageError(
                f"--checkpoint-weights trained with --{flag}: the encoder's weights are then not "
                "those of its files; leave one of the two out",
                "options-conflict",
            )


def _load_what_fits(model: nn.Module, state: TaskState, stage: Stage) -> None:
    own = model.state_dict()
    loaded = {
        name: value
        for name, value in stage.parameters.items()
        if name in own and own[name].shape == value.shape
    }
    of_files: list[str] = []
    for modality in state.modalities:
        begins, left = prefix(modality), stage.left_to_files(modality)
        if left or any(name.startswith(begins) for name in stage.parameters):
            check_same(model, state, modality, stage)
        check_standardized(own, modality, stage)
        if left:
            logger.info(
                "%s: its %s encoder is that of %s, as here", stage.option, modality, left.spec
            )
            of_files += [name for name in own if name.startswith(backbone_prefix(modality))]
    check_standardized_fused(own, stage)
    check_same_activation(model, stage)
    loaded = _without_other_labels(loaded, state, stage)
    loaded = _without_other_dialogues(loaded, own, stage)
    if not loaded:
        raise UsageError(
            f"{stage.option}: nothing there fits this model; see --modality", "stage-unfit"
        )
    model.load_state_dict({**own, **loaded})
    logger.info("%s: loaded %s", stage.option, _count(loaded))
    logger.info("%s: new %s", stage.option, _count(own.keys() - loaded.keys() - {*of_files}))
    logger.info("%s: not used %s", stage.option, _count(stage.parameters.keys() - loaded.keys()))


def _without_other_labels(
    parameters: Mapping[str, Tensor], state: TaskState, stage: Stage
) -> dict[str, Tensor]:
    """Return the parameters without heads whose outputs mean something else in the new model.

    Where labels are the same in another order, so are the outputs.
    """
    theirs = stage.task_state.get("auxiliary_labels", {})
    heads = {"head": (stage.task_state.get("labels"), state.labels)} | {
        f"auxiliary_heads.{name}": (theirs.get(name), labels)
        for name, labels in state.auxiliary_labels.items()
    }
    kept = dict(parameters)
    for head, (before, now) in heads.items():
        others = [name for name in kept if name.startswith(f"{head}.")]
        if others and before and sorted(before) == sorted(now):
            kept |= {name: _reordered(kept[name], before, now) for name in others}
        elif others and before != list(now):
            logger.warning("%s: its %s is of other labels, and is not loaded", stage.option, head)
            kept = {name: value for name, value in kept.items() if name not in others}
    return kept


def _reordered(rows: Tensor, before: Sequence[str], now: Sequence[str]) -> Tensor:
    """Return the rows of a head, one or a pair for each label, in another order of the labels."""
    by_label = rows.unflatten(0, (len(before), -1))
    return by_label[[before.index(label) for label in now]].flatten(0, 1)


def _without_other_dialogues(
    parameters: Mapping[str, Tensor], own: Mapping[str, Tensor], stage: Stage
) -> dict[str, Tensor]:
    """Return the parameters without a dialogue encoder of another kind or size.

    Some of its parameters may fit, but mean nothing without the others.
    """
    theirs = [name for name in stage.parameters if name.startswith(_DIALOGUE_ENCODER)]
    ours = [name for name in own if name.startswith(_DIALOGUE_ENCODER)]
    if not theirs or not ours or {*theirs} == {*ours} <= {*parameters}:
        return dict(parameters)
    logger.warning("%s: its dialogue encoder is another one, and is not loaded", stage.option)
    return {name: value for name, value in parameters.items() if name not in theirs}


def _load_encoder(model: nn.Module, state: TaskState, modality: str, stage: Stage) -> None:
    if left := stage.left_to_files(modality):
        raise UsageError(
            f"{describe_missing(stage, modality, left)}; leave the option out and give "
            f"--{modality}-encoder {left.spec}, or train the stage with --checkpoint-weights all",
            "stage-encoder-missing",
        )
    if not stage.parameters:
        raise UsageError(
            f"{stage.option}: that model has no {modality} encoder; see its --modality",
            "stage-encoder-missing",
        )
    check_same(model, state, modality, stage)
    own = model.state_dict()
    part = {name: value for name, value in stage.parameters.items() if name in own}
    model.load_state_dict({**own, **part})
    logger.info("%s: loaded %s", stage.option, _count(part))


def _count(names: Iterable[str]) -> str:
    """Count the tensors of each part of the model: ``199 of encoders.text, 2 of head``."""
    counts = Counter(map(_part, names))
    return ", ".join(f"{n} of {part}" for part, n in sorted(counts.items())) or "nothing"


def _part(name: str) -> str:
    return ".".join(name.split(".")[: 2 if name.startswith("encoders.") else 1])
