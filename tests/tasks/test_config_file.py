"""The configuration of a training as YAML, whatever fairseq keeps in it."""

import argparse

import yaml
from omegaconf import OmegaConf

from emo_fairseq.tasks.config_file import write_config


def test_parts_without_a_dataclass_and_values_without_a_type_of_yaml(tmp_path) -> None:
    run = OmegaConf.create(
        {"checkpoint": {"save_dir": str(tmp_path)}}, flags={"allow_objects": True}
    )
    run.lr_scheduler = argparse.Namespace(lr=[0.1], kind=complex(1, 2))
    run.job_logging_cfg = {"version": 1}
    run.distributed_training = {"distributed_world_size": 2, "distributed_rank": 0}
    run.common = {
        "seed": 1,
        "user_dir": "${checkpoint.save_dir}/plugin",
        "log_file": str(tmp_path / "train.log"),
        "tensorboard_logdir": "elsewhere",
    }
    write_config(run)
    written = yaml.safe_load((tmp_path / "training.yaml").read_text())
    assert written["lr_scheduler"] == {"lr": [0.1], "kind": "(1+2j)"}
    assert written["common"] == {
        "seed": 1,
        "user_dir": f"{tmp_path}/plugin",
        "log_file": "${checkpoint.save_dir}/train.log",  # of the training by this file
        "tensorboard_logdir": "elsewhere",
    }
    assert written["hydra"]["run"] == {"dir": "${checkpoint.save_dir}"}
    assert written["distributed_training"] == {"distributed_world_size": 2}
    assert "job_logging_cfg" not in written
