"""A model folder as a checkpoint again, for what reads checkpoints alone: fairseq-validate."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.dataclass.configs import FairseqConfig
from fairseq.dataclass.utils import merge_with_parent
from omegaconf import OmegaConf, open_dict

from emo_fairseq.compat.checkpoints import TASK_NAME
from emo_fairseq.inference.model_folder.config import read_config, read_task_state
from emo_fairseq.inference.model_folder.reading import read_model_folder
from emo_fairseq.modalities import MODALITIES
from emo_fairseq.models.build import plain
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.tasks.config import EmotionPredictionConfig

# Of the task's options in config.json, beside those of TaskOptions.
_KEPT = ("allow_leak", *(f"{name}_encoder" for name in MODALITIES))
_CRITERION = "emotion_prediction_cri"  # the plain loss of any target; metrics do not depend on it


def write_checkpoint(folder: Path, out: Path) -> Path:
    """Write what fairseq-validate scores as it would the checkpoint the folder was made of.

    The loss that it logs is the target's plain one, whatever was minimized; every metric is the
    same. There is no optimizer: no training can be resumed from it.

    Args:
        folder: a model folder.
        out: the file.

    Raises:
        UsageError: no model folder, or a damaged one.
    """
    loaded = read_model_folder(folder)
    config = read_config(folder)
    state = read_task_state(folder, config)
    task_options = {
        **loaded.state.options.model_dump(),
        **{name: config.task[name] for name in _KEPT if name in config.task},
        "no_encoder_cache": True,  # it would keep half precision, in the data dir
        "data": "",
        "_name": TASK_NAME,
    }
    cfg = OmegaConf.structured(FairseqConfig)
    with open_dict(cfg):
        # Every option has a value, which fairseq-validate replaces by that of its command line.
        cfg.task = _fill(EmotionPredictionConfig(), task_options)
        cfg.model = _fill(RobertaEMOConfig(), config.model)
        cfg.criterion = {"_name": _CRITERION}
    saved = {
        "cfg": OmegaConf.to_container(cfg, enum_to_str=True),
        "args": None,
        "model": loaded.model.state_dict(),
        "task_state": state,
        "optimizer_history": [{"num_updates": 0, "optimizer_name": "", "lr_scheduler_state": {}}],
        "extra_state": {"train_iterator": {"epoch": 1}},
    }
    torch.save(saved, out)
    return out


def _fill(defaults: FairseqDataclass, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of a dataclass; those that it does not have are left out."""
    return plain(merge_with_parent(defaults, OmegaConf.create(dict(options)), True))
