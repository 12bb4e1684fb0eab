"""The whole configuration of a training, as a file beside its checkpoints."""

import argparse
import logging
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from data_prep.schema import write_atomically

logger = logging.getLogger(__name__)

CONFIG_FILE = "config.yaml"
_OF_HYDRA = "job_logging_cfg"


class _Dumper(yaml.SafeDumper):
    """Writes what YAML has no type for as text."""


_Dumper.add_multi_representer(object, lambda dumper, value: dumper.represent_str(str(value)))
# Parts of fairseq without a dataclass have all options of the command line.
_Dumper.add_representer(
    argparse.Namespace, lambda dumper, value: dumper.represent_dict(vars(value))
)


def write_config(run: Any) -> None:
    """Write ``config.yaml`` into ``--save-dir``, every option with its value.

    Args:
        run: fairseq's configuration of the training.
    """
    config = OmegaConf.to_container(run, resolve=True, enum_to_str=True)
    assert isinstance(config, dict)
    config.pop(_OF_HYDRA, None)
    file = Path(run.checkpoint.save_dir) / CONFIG_FILE
    text = yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    write_atomically(file, text)
    logger.info("configuration: %s", file)
