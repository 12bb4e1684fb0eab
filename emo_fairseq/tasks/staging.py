"""Staged training: parameters of an earlier stage's checkpoint, and the word on what was taken."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fairseq import checkpoint_utils
from torch import Tensor, nn

from emo_fairseq.compat.checkpoints import TASK_NAME
from emo_fairseq.errors import UsageError
from emo_fairseq.modules.lora import merged_state_dict
from emo_fairseq.tasks.resumed_state import stored_provenance
from emo_fairseq.tasks.stage_encoders import (
    Stage,
    backbone_prefix,
    check_same,
    missing,
    prefix,
)
from emo_fairseq.types import MODALITIES

logger = logging.getLogger(__name__)


def initialize(model: nn.Module, task: Any) -> None:
    """Put the parameters of ``--init-from`` and ``--init-{modality}-from`` into a new model.

    The former takes whatever fits: a bare text model grows into one of text and speech; heads of
    other labels are left. Of an encoder, by either, all is taken or nothing. LoRA's updates are
    merged.

    Args:
        model: just built.
        task: its modalities, labels, vocabularies and options.

    Raises:
        UsageError: a checkpoint of another task, or one whose encoder is not in it, is another one
            or knows other words.
    """
    if task.cfg.init_from:
        _take_what_fits(model, task, _read(task, "--init-from", task.cfg.init_from))
    for modality in task.modalities:
        if path := getattr(task.cfg, f"init_{modality}_from"):
            stage = _read(task, f"--init-{modality}-from", path, only=prefix(modality))
            _take_encoder(model, task, modality, stage)


def load_resumed(model: nn.Module, checkpoint: Path) -> None:
    """Load the parameters of the checkpoint that a training resumes into its model.

    fairseq does so too, but later: by then frozen encoders have been run.

    Raises:
        UsageError: they do not fit; names the file.
    """
    state = checkpoint_utils.load_checkpoint_to_cpu(str(checkpoint), {"task": TASK_NAME})
    try:
        model.load_state_dict(state["model"])
    except UsageError as error:
        raise UsageError(f"{checkpoint}: {error}", error.code) from error


def check_files_give_weights(cfg: Any) -> None:
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


def _read(task: Any, option: str, path: str, only: str = "") -> Stage:
    """Read a stage that has seen no held-out row; of its parameters those whose names begin so."""
    state = checkpoint_utils.load_checkpoint_to_cpu(path, {"task": TASK_NAME})
    task.take(option, path, stored_provenance(state.get("task_state", {}), path))
    parameters = {name: value for name, value in state["model"].items() if name.startswith(only)}
    try:
        merged = merged_state_dict(parameters)
    except ValueError as error:
        raise UsageError(
            f"{option} {path}: was saved with --checkpoint-weights trained and holds LoRA's "
            f"updates alone ({error}); train that stage with --checkpoint-weights all"
        ) from error
    return Stage(f"{option} {path}", merged, state.get("task_state", {}), state["cfg"]["model"])


def _take_what_fits(model: nn.Module, task: Any, stage: Stage) -> None:
    own = model.state_dict()
    taken = {
        name: value
        for name, value in stage.parameters.items()
        if name in own and own[name].shape == value.shape
    }
    of_files: list[str] = []
    for modality in task.modalities:
        begins, left = prefix(modality), stage.left_to_files(modality)
        if left or any(name.startswith(begins) for name in stage.parameters):
            check_same(model, task, modality, stage)
        if left:
            logger.info(
                "%s: its %s encoder is that of %s, as here", stage.option, modality, left.spec
            )
            of_files += [name for name in own if name.startswith(backbone_prefix(modality))]
    taken = _without_other_labels(taken, task, stage)
    if not taken:
        raise UsageError(f"{stage.option}: nothing there fits this model; see --modality")
    model.load_state_dict({**own, **taken})
    logger.info("%s: taken %s", stage.option, _count(taken))
    logger.info("%s: new %s", stage.option, _count(own.keys() - taken.keys() - {*of_files}))
    logger.info("%s: not used %s", stage.option, _count(stage.parameters.keys() - taken.keys()))


def _without_other_labels(
    parameters: Mapping[str, Tensor], task: Any, stage: Stage
) -> dict[str, Tensor]:
    """Without the heads whose outputs mean something else in the new model."""
    theirs = stage.task_state.get("auxiliary_labels", {})
    heads = {"head": (stage.task_state.get("labels"), task.labels)} | {
        f"auxiliary_heads.{name}": (theirs.get(name), labels)
        for name, labels in task.auxiliary_labels.items()
    }
    kept = dict(parameters)
    for head, (before, now) in heads.items():
        others = [name for name in kept if name.startswith(f"{head}.")]
        if others and before != list(now):
            logger.warning("%s: its %s is of other labels, and is not taken", stage.option, head)
            kept = {name: value for name, value in kept.items() if name not in others}
    return kept


def _take_encoder(model: nn.Module, task: Any, modality: str, stage: Stage) -> None:
    if left := stage.left_to_files(modality):
        raise UsageError(
            f"{missing(stage, modality, left)}; leave the option out and give --{modality}-encoder "
            f"{left.spec}, or train the stage with --checkpoint-weights all"
        )
    if not stage.parameters:
        raise UsageError(
            f"{stage.option}: that model has no {modality} encoder; see its --modality"
        )
    check_same(model, task, modality, stage)
    begins = prefix(modality)
    part = {name.removeprefix(begins): value for name, value in stage.parameters.items()}
    model.get_submodule(begins.rstrip(".")).load_state_dict(part)
    logger.info("%s: taken %s", stage.option, _count(stage.parameters))


def _count(names: Iterable[str]) -> str:
    """How many tensors of which part of the model: ``199 of encoders.text, 2 of head``."""
    counts = Counter(map(_part, names))
    return ", ".join(f"{n} of {part}" for part, n in sorted(counts.items())) or "nothing"


def _part(name: str) -> str:
    return ".".join(name.split(".")[: 2 if name.startswith("encoders.") else 1])
