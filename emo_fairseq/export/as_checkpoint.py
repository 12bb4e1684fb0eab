"""A model folder as a checkpoint again, for what reads checkpoints alone: fairseq-validate."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from fairseq.dataclass.configs import FairseqConfig
from fairseq.dataclass.utils import merge_with_parent
from omegaconf import OmegaConf, open_dict

from emo_fairseq.inference.loading import plain
from emo_fairseq.inference.model_folder import (
    read_config,
    read_model_folder,
)
from emo_fairseq.models.config import RobertaEMOConfig

_CRITERION = "emotion_prediction_cri"  # the plain loss of any target; the figures are of any
_OF_TRAINING = "prototypes"  # in the folder for readers, and not as a task wants them


def write_checkpoint(folder: Path, out: Path) -> Path:
    """Write what fairseq-validate scores as it would the checkpoint the folder was made of.

    The loss that it logs is the target's plain one, whatever was minimized; every figure is the
    same. There is no optimizer: no training can go on from it.

    Args:
        folder: a model folder.
        out: the file.

    Raises:
        UsageError: no model folder, or a damaged one.
    """
    task, model, *_ = read_model_folder(folder)
    config = read_config(folder)
    cfg = OmegaConf.structured(FairseqConfig)
    with open_dict(cfg):
        # As they were read, without places and without options that we do not have.
        cfg.task = {**plain(task.cfg), "_name": "emotion_prediction", "data": ""}
        cfg.model = _known(config.model)
        cfg.criterion = {"_name": _CRITERION}
    state = config.state.model_dump(exclude_unset=True, exclude={_OF_TRAINING})
    history = {"num_updates": 0, "optimizer_name": "", "lr_scheduler_state": {}}
    saved = {
        "cfg": OmegaConf.to_container(cfg, enum_to_str=True),
        "args": None,
        "model": model.state_dict(),
        "task_state": state,
        "optimizer_history": [history],
        "extra_state": {"train_iterator": {"epoch": 1}},
    }
    torch.save(saved, out)
    return out


def _known(options: Mapping[str, Any]) -> dict[str, Any]:
    """A model's options without any that the model does not have."""
    return plain(merge_with_parent(RobertaEMOConfig(), OmegaConf.create(dict(options)), True))
