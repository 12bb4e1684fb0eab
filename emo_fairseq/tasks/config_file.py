"""The whole configuration of a training, as a file beside its checkpoints.

``fairseq-hydra-train --config-dir SAVE_DIR --config-name training`` trains by it again.
"""

import argparse
import logging
import shlex
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from data_prep.files.replacing import write_atomically

logger = logging.getLogger(__name__)

CONFIG_FILE = "training.yaml"  # of the name config Hydra would read fairseq's own
_HEADER = """# Every option of a training. To train by it again:
#   fairseq-hydra-train --config-dir {folder} --config-name training checkpoint.save_dir=OTHER
"""
_SAVE_DIR = "${checkpoint.save_dir}"
_IN_THIS_FOLDER = {"job": {"chdir": False}, "run": {"dir": _SAVE_DIR}, "output_subdir": None}
_WRITTEN = ("log_file", "tensorboard_logdir")  # where the training writes, too
_OF_HYDRA = "job_logging_cfg"
# Fairseq finds out anew which process it is.
_OF_THIS_PROCESS = (
    "device_id",
    "distributed_init_method",
    "distributed_no_spawn",
    "distributed_port",
    "distributed_rank",
)


_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_DUMPER):
    """Writes what YAML has no type for as text."""


_Dumper.add_multi_representer(object, lambda dumper, value: dumper.represent_str(str(value)))
# Parts of fairseq without a dataclass have all options of the command line.
_Dumper.add_representer(
    argparse.Namespace, lambda dumper, value: dumper.represent_dict(vars(value))
)


def write_config(run: Any) -> None:
    """Write ``training.yaml`` into ``--save-dir``, every option with its value."""
    config = OmegaConf.to_container(run, resolve=True, enum_to_str=True)
    assert isinstance(config, dict)
    config.pop(_OF_HYDRA, None)
    for name in _OF_THIS_PROCESS:
        config.get("distributed_training", {}).pop(name, None)
    folder = Path(run.checkpoint.save_dir)
    common = config.get("common", {})
    for name in _WRITTEN:
        # Else a training by this file would write into the folder of this one.
        if (path := common.get(name)) and Path(path).is_relative_to(folder):
            common[name] = f"{_SAVE_DIR}/{Path(path).relative_to(folder)}"
    text = _HEADER.format(folder=shlex.quote(str(folder)))
    text += yaml.dump(
        {"hydra": _IN_THIS_FOLDER, **config}, Dumper=_Dumper, sort_keys=False, allow_unicode=True
    )
    file = folder / CONFIG_FILE
    write_atomically(file, text)
    logger.info("configuration: %s", file)
