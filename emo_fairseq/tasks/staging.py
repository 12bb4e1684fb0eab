"""Staged training: parameters of an earlier stage's checkpoint, and the word on what was taken."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from fairseq import checkpoint_utils
from torch import Tensor, nn

from emo_fairseq.compat import TASK_NAME
from emo_fairseq.data.naming import first_few
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.errors import UsageError
from emo_fairseq.modules.lora import merged_state_dict

logger = logging.getLogger(__name__)

_KEYS_NAMED = 3
_HEAD = "head."


class _Stage(NamedTuple):
    """An earlier stage: its option and file for messages, its parameters, what its task knew."""

    option: str
    parameters: Mapping[str, Tensor]
    task_state: Mapping[str, Any]


def initialise(model: nn.Module, task: Any) -> None:
    """Put the parameters of ``--init-from`` and ``--init-{modality}-from`` into a new model.

    The former takes whatever fits: a bare text model grows into one of text and speech; a head of
    other labels is left. Of an encoder, by either, all is taken or nothing. LoRA's updates are
    merged.

    Args:
        model: just built.
        task: its modalities, labels, vocabularies and options.

    Raises:
        UsageError: a checkpoint of another task, or one whose encoder is another one or knows
            other words.
    """
    if task.cfg.init_from:
        _take_what_fits(model, task, _read("--init-from", task.cfg.init_from))
    for modality in task.modalities:
        if path := getattr(task.cfg, f"init_{modality}_from"):
            _take_encoder(model, task, modality, _read(f"--init-{modality}-from", path))


def _read(option: str, path: str) -> _Stage:
    state = checkpoint_utils.load_checkpoint_to_cpu(path, {"task": TASK_NAME})
    parameters = merged_state_dict(state["model"])
    return _Stage(f"{option} {path}", parameters, state.get("task_state", {}))


def _take_what_fits(model: nn.Module, task: Any, stage: _Stage) -> None:
    own = model.state_dict()
    taken = {
        name: value
        for name, value in stage.parameters.items()
        if name in own and own[name].shape == value.shape
    }
    for modality in task.modalities:
        prefix = _prefix(modality)
        if any(name.startswith(prefix) for name in stage.parameters):
            _check_whole(model, task, modality, stage)
    if stage.task_state.get("labels") != task.labels and any(n.startswith(_HEAD) for n in taken):
        taken = {name: value for name, value in taken.items() if not name.startswith(_HEAD)}
        logger.warning("%s: its head is of other labels, and is not taken", stage.option)
    if not taken:
        raise UsageError(f"{stage.option}: nothing there fits this model; see --modality")
    model.load_state_dict({**own, **taken})
    logger.info("%s: taken %s", stage.option, _count(taken))
    logger.info("%s: new %s", stage.option, _count(own.keys() - taken.keys()))
    logger.info("%s: not used %s", stage.option, _count(stage.parameters.keys() - taken.keys()))


def _take_encoder(model: nn.Module, task: Any, modality: str, stage: _Stage) -> None:
    prefix = _prefix(modality)
    part = {n.removeprefix(prefix): v for n, v in stage.parameters.items() if n.startswith(prefix)}
    if not part:
        raise UsageError(
            f"{stage.option}: that model has no {modality} encoder; see its --modality"
        )
    _check_whole(model, task, modality, stage)
    model.get_submodule(prefix.rstrip(".")).load_state_dict(part)
    logger.info("%s: taken %s", stage.option, _count(f"{prefix}{name}" for name in part))


def _check_whole(model: nn.Module, task: Any, modality: str, stage: _Stage) -> None:
    """See that an earlier stage's encoder is the model's, and knows the same symbols."""
    prefix = _prefix(modality)
    own = {n: v.shape for n, v in model.state_dict().items() if n.startswith(prefix)}
    theirs = {n: v.shape for n, v in stage.parameters.items() if n.startswith(prefix)}
    differing = sorted(n for n in own.keys() | theirs.keys() if own.get(n) != theirs.get(n))
    if differing:
        raise UsageError(
            f"{stage.option}: its {modality} encoder is another one, {len(differing)} parameters "
            f"differ ({first_few(differing, _KEYS_NAMED)}); give the same encoder, with the same "
            f"--{modality}-layer, to both stages"
        )
    known = stage.task_state.get("vocabulary", {}).get(modality)
    if known is not None and modality in task.vocabularies():
        task.vocabularies()[modality].check_same(Vocabulary.from_state(known))


def _prefix(modality: str) -> str:
    return f"encoders.{modality}."


def _count(names: Iterable[str]) -> str:
    """How many tensors of which part of the model: ``199 of encoders.text, 2 of head``."""
    counts = Counter(map(_part, names))
    return ", ".join(f"{n} of {part}" for part, n in sorted(counts.items())) or "nothing"


def _part(name: str) -> str:
    return ".".join(name.split(".")[: 2 if name.startswith("encoders.") else 1])
