"""Staged training: parameters of an earlier stage's checkpoint, and the word on what was taken."""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from fairseq import checkpoint_utils
from torch import Tensor, nn

from emo_fairseq.compat import TASK_NAME
from emo_fairseq.data.naming import first_few
from emo_fairseq.errors import UsageError
from emo_fairseq.modules.lora import merged_state_dict

logger = logging.getLogger(__name__)

_KEYS_NAMED = 3

State = Mapping[str, Tensor]


def initialise(model: nn.Module, cfg: Any, modalities: tuple[str, ...]) -> None:
    """Put the parameters of ``--init-from`` and ``--init-{modality}-from`` into a new model.

    The former takes whatever fits: a bare text model grows into one of text and speech. Of an
    encoder named by the latter every parameter must be there. LoRA's updates are merged.

    Raises:
        UsageError: a checkpoint of another task, or one whose encoder is another one.
    """
    if cfg.init_from:
        _take_what_fits(model, _read(cfg.init_from), cfg.init_from)
    for modality in modalities:
        if path := getattr(cfg, f"init_{modality}_from"):
            _take_encoder(model, modality, _read(path), path)


def _read(path: str) -> State:
    state = checkpoint_utils.load_checkpoint_to_cpu(path, {"task": TASK_NAME})
    return merged_state_dict(state["model"])


def _take_what_fits(model: nn.Module, state: State, path: str) -> None:
    own = model.state_dict()
    taken = {k: state[k] for k in own if k in state and own[k].shape == state[k].shape}
    changed = [key for key in own if key in state and key not in taken]
    foreign = [key for key in changed if key.startswith("encoders.")]
    if foreign:
        raise UsageError(
            f"--init-from {path}: its {_part(foreign[0])} is another one "
            f"({first_few(foreign, _KEYS_NAMED)} have other shapes); give the same "
            "encoder to both stages"
        )
    if not taken:
        raise UsageError(f"--init-from {path}: nothing there fits this model; see --modality")
    model.load_state_dict({**own, **taken})
    logger.info("--init-from %s: taken %s", path, _count(taken))
    logger.info("--init-from %s: new %s", path, _count(own.keys() - taken.keys()))
    logger.info("--init-from %s: not used %s", path, _count(state.keys() - taken.keys()))


def _take_encoder(model: nn.Module, modality: str, state: State, path: str) -> None:
    prefix = f"encoders.{modality}."
    part = {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}
    option = f"--init-{modality}-from {path}"
    if not part:
        raise UsageError(f"{option}: that model has no {modality} encoder; see its --modality")
    encoder = model.get_submodule(f"encoders.{modality}")
    own = encoder.state_dict()
    differing = sorted(
        {*own.keys() ^ part.keys()}
        | {k for k in own.keys() & part.keys() if own[k].shape != part[k].shape}
    )
    if differing:
        raise UsageError(
            f"{option}: its {modality} encoder is another one, {len(differing)} parameters differ "
            f"({first_few(differing, _KEYS_NAMED)}); give the same encoder and layer to both stages"
        )
    encoder.load_state_dict(part)
    logger.info("%s: taken %s", option, _count(f"{prefix}{key}" for key in part))


def _count(keys: Any) -> str:
    """How many tensors of which part of the model: ``199 of encoders.text, 2 of head``."""
    counts = Counter(map(_part, keys))
    return ", ".join(f"{n} of {part}" for part, n in sorted(counts.items())) or "nothing"


def _part(key: str) -> str:
    return ".".join(key.split(".")[: 2 if key.startswith("encoders.") else 1])
