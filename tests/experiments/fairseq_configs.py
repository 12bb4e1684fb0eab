"""A job of fairseq-hydra-train as fairseq's configuration."""

from collections.abc import Mapping
from typing import Any

from fairseq.dataclass.configs import FairseqConfig
from fairseq.dataclass.initialize import add_defaults
from omegaconf import DictConfig, OmegaConf


def fairseq_config(values: Mapping[str, Any]) -> DictConfig:
    """Return what fairseq-hydra-train makes of a job's configuration."""
    config = OmegaConf.create(OmegaConf.to_container(OmegaConf.structured(FairseqConfig())))
    for section in {key.partition(".")[0] for key in values}:
        config[section] = config.get(section) or {}
    for key, value in values.items():
        OmegaConf.update(config, key, value, force_add=True)
    add_defaults(config)
    return config
