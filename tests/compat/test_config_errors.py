"""YAML of a training that is wrong: one sentence, wherever fairseq, Hydra or OmegaConf find it."""

import argparse
import importlib
import logging
import sys
import warnings
from pathlib import Path

import fairseq.utils
import pytest
import yaml
from codes import raises
from fairseq.dataclass.initialize import add_defaults
from fairseq.tasks import setup_task
from hydra._internal import deprecation_warning
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError

from data_prep.files.yaml_values import yaml_sentence
from emo_fairseq.compat.verbosity import VERBOSE_SWITCH
from emo_fairseq.errors import UsageError
from emo_fairseq.experiments.grid import plan_runs

CONFIG = {
    "task": {"_name": "emotion_prediction", "data": "data"},
    "model": {"_name": "robertaEMO_tiny"},
    "criterion": {"_name": "emotion_prediction_cri"},
}


@pytest.mark.parametrize(
    ("section", "option", "value", "what"),
    [
        ("task", "max_frame", 3, "task.max_frame: emotion_prediction has no such option (is it"),
        ("task", "max_frames", "abc", "task.max_frames: Value 'abc' of type 'str' could not be"),
        ("task", "qqq", 3, "task.qqq: emotion_prediction has no such option; correct it"),
        (
            "model",
            "lora_ranks",
            3,
            "model.lora_ranks: robertaEMO_tiny has no such option",
        ),
        ("criterion", "qqq", 3, "criterion.qqq: emotion_prediction_cri has no such option;"),
    ],
)
def test_an_option_that_cannot_be_taken_is_named(
    section: str, option: str, value: object, what: str
) -> None:
    config = {**CONFIG, section: {**CONFIG[section], option: value}}
    with pytest.raises(UsageError) as error:
        add_defaults(OmegaConf.create(config))
    assert str(error.value).startswith(what)
    assert str(error.value).endswith("; correct it where it was given")
    assert "\n" not in str(error.value)


def test_a_task_that_nobody_has_is_named() -> None:
    with raises("task-unknown"):
        setup_task(OmegaConf.create({"_name": "nothing_such"}))


def test_a_precision_that_is_refused_is_refused_in_yaml_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = OmegaConf.create({**CONFIG, "common": {"amp": True}})
    monkeypatch.setattr("hydra.core.hydra_config.HydraConfig.initialized", lambda: True)
    monkeypatch.setattr("emo_fairseq.compat.config_errors.check_training", lambda cfg: None)
    with raises("half-precision-unsupported", UsageError):
        setup_task(config.task)


def test_a_sweep_names_the_line_of_broken_yaml(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("# @package _group_\ntask: [\n")
    with raises("yaml-invalid"):
        plan_runs(tmp_path, "a", ["common.seed=1"])


def test_the_sentence_of_broken_yaml() -> None:
    with pytest.raises(yaml.YAMLError) as error:
        yaml.safe_load("a: b: c")
    assert yaml_sentence(error.value).startswith("<unicode string>: line 1, column 5: is not YAML")
    assert yaml_sentence(yaml.YAMLError("odd\nthing")) == "is not YAML (odd thing); correct it"


def test_hydra_prints_one_line_before_the_plugin_is_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In fairseq-hydra-train alone: other programs that use Hydra keep their own excepthook."""
    seen: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: seen.append(error))
    monkeypatch.delenv("EMO_FAIRSEQ_TRACEBACK", raising=False)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr(deprecation_warning, "warnings", warnings)
    monkeypatch.delenv(VERBOSE_SWITCH)
    hydra_level = logging.getLogger("hydra").level
    before = sys.excepthook
    monkeypatch.setattr(sys, "argv", ["/bin/other"])
    sys.modules.pop("hydra_plugins.emo_fairseq_errors", None)
    importlib.import_module("hydra_plugins.emo_fairseq_errors")
    assert sys.excepthook is before
    with pytest.warns(UserWarning, match="old"):
        deprecation_warning.deprecation_warning("old")

    monkeypatch.setattr(sys, "argv", ["/bin/fairseq-hydra-train"])
    sys.modules.pop("hydra_plugins.emo_fairseq_errors")
    importlib.import_module("hydra_plugins.emo_fairseq_errors")
    errors = [HydraException("no\nconfig"), ConfigKeyError("no key"), ValueError("a bug")]
    for error in errors[:2]:
        with pytest.raises(SystemExit, match="2"):
            sys.excepthook(type(error), error, None)
    sys.excepthook(ValueError, errors[2], None)
    assert capsys.readouterr().err == "error: no config\nerror: no key\n"
    assert seen == errors[2:]
    with warnings.catch_warnings(record=True) as caught:
        deprecation_warning.deprecation_warning("old")
    assert not caught
    logging.getLogger("hydra").setLevel(hydra_level)


def test_a_wrong_user_dir_in_yaml_is_one_line() -> None:
    hook = importlib.import_module("hydra_plugins.emo_fairseq_errors").config_sentence
    with pytest.raises(FileNotFoundError) as error:
        fairseq.utils.import_user_module(argparse.Namespace(user_dir="nowhere"))
    assert hook(error.value).startswith("common.user_dir: there is no folder ")
    assert hook(FileNotFoundError("nowhere")) is None
