"""From a command line with choices to runs: every combination of seeds, folds and options.

Hydra's own parser reads the overrides and its own API composes the configuration, so both mean what
they mean to ``fairseq-hydra-train -m``.
"""

import hashlib
import itertools
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from fairseq.dataclass.initialize import hydra_init
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from data_prep.files.documents import yaml_sentence
from data_prep.folds.file import (
    folds_path,
    read_folds,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.experiments.options import (
    FOLD,
    Options,
    refuse_test_selection,
)

ALL_OF = "all-of:"
_OURS = ("checkpoint.save_dir", "hydra.run.dir", "hydra.job.chdir")
_UNNAMED = re.compile(r"hydra[./].*|common\.(user_dir|log_\w+)|dataset\.num_workers")
_LONGEST_NAME = 160


@dataclass(frozen=True)
class PlannedRun:
    """One combination.

    Attributes:
        name: of its folder; the same overrides in any order have the same one.
        overrides: for ``fairseq-hydra-train``.
        composed: the configuration that Hydra will write, interpolations as they stand.
        options: the same with interpolations resolved.
    """

    name: str
    overrides: tuple[str, ...]
    composed: Options
    options: Options


def plan_runs(config_dir: Path, config_name: str, overrides: Sequence[str]) -> list[PlannedRun]:
    """Every combination of the choices in `overrides` and in the YAML, in order.

    Raises:
        UsageError: Hydra does not take the overrides, they name what a sweep decides, two
            combinations have one name, or the test set would choose a checkpoint.
    """
    if not (config_dir / f"{config_name}.yaml").is_file():
        there = ", ".join(sorted(file.stem for file in config_dir.glob("*.yaml"))) or "none"
        raise UsageError(f"{config_dir}: has no {config_name}.yaml; it has {there}")
    with _hydra(config_dir, config_name):
        planned = [
            _plan(config_name, one)
            for words in combinations(overrides)
            for with_own in _own_choices(config_name, words)
            for one in _all_folds(config_name, with_own)
        ]
    names = [run.name for run in planned]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"two combinations are called {twice}; take another word for one of them")
    for run in planned:
        refuse_test_selection(run.options)
    return planned


@contextmanager
def _hydra(config_dir: Path, config_name: str) -> Iterator[None]:
    logging.getLogger("hydra").setLevel(logging.INFO)
    folder = str(config_dir.resolve())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what fairseq's own command warns of, too
            hydra_init(config_name)
            with initialize_config_dir(folder, job_name="hydra_train", version_base="1.1"):
                yield
    except (HydraException, OmegaConfBaseException) as error:
        reason = f" ({error.__cause__})" if error.__cause__ else ""
        raise UsageError(" ".join(f"{error}{reason}".split())) from error
    except yaml.YAMLError as error:
        raise UsageError(yaml_sentence(error)) from error


def combinations(words: Sequence[str]) -> list[tuple[str, ...]]:
    """Overrides with choices -> overrides without, one tuple a combination.

    Called while Hydra is initialized, or without a choice by pattern.

    >>> combinations(["common.seed=1,2", "task.fold=k_fold/1"])
    [('common.seed=1', '++task.fold=k_fold/1'), ('common.seed=2', '++task.fold=k_fold/1')]
    """
    hydra = GlobalHydra.instance()
    loader = hydra.config_loader() if hydra.is_initialized() else None
    parsed = OverridesParser.create(loader).parse_overrides(list(words))
    return list(itertools.product(*(_choices(override) for override in parsed)))


def _choices(override: Override) -> list[str]:
    if override.key_or_group in _OURS:
        raise UsageError(f"{override.input_line}: the sweep decides where runs lie; leave it out")
    key = override.get_key_element()
    if override.key_or_group == FOLD:
        key = f"++{FOLD}"  # whether the YAML names it or not
    if not override.is_sweep_override():
        line = str(override.input_line)
        return [f"{key}={line.partition('=')[2]}" if key.endswith(FOLD) else line]
    if not override.is_discrete_sweep():
        raise UsageError(f"{override.input_line}: give single values, such as 1,2,3")
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def _own_choices(config_name: str, words: tuple[str, ...]) -> list[tuple[str, ...]]:
    """One combination with each of those that the YAML itself asks for, where `words` do not.

    They stand under ``hydra.sweeper.params``, where ``fairseq-hydra-train -m`` reads them too.
    """
    own = _composed(config_name, words).hydra.sweeper.get("params") or {}
    decided = {_key(word) for word in words}
    asked = [f"{key}={value}" for key, value in own.items() if _key(key) not in decided]
    return [(*words, *more) for more in combinations(asked)]


def _key(word: str) -> str:
    return word.lstrip("+").partition("=")[0]


def _all_folds(config_name: str, words: tuple[str, ...]) -> list[tuple[str, ...]]:
    """One combination, or one for each fold if it asks for all of a protocol."""
    places = [n for n, word in enumerate(words) if word.startswith(f"++{FOLD}={ALL_OF}")]
    if not places:
        return [words]
    place = places[0]
    protocol = words[place].partition(ALL_OF)[2]
    others = words[:place] + words[place + 1 :]
    data = _compose(config_name, others)[1].data
    folds = read_folds(folds_path(data, protocol)).folds
    return [(*words[:place], f"++{FOLD}={protocol}/{k}", *words[place + 1 :]) for k in folds]


def _plan(config_name: str, words: tuple[str, ...]) -> PlannedRun:
    return PlannedRun(run_name(config_name, words), words, *_compose(config_name, words))


def _compose(config_name: str, words: Sequence[str]) -> tuple[Options, Options]:
    """The configuration as it stands, and resolved."""
    config = _composed(config_name, words)
    HydraConfig.instance().set_config(config)  # for interpolations such as ${hydra:…}
    with open_dict(config):
        del config["hydra"]
    return _options(config, resolve=False), _options(config, resolve=True)


def _composed(config_name: str, words: Sequence[str]) -> Any:
    """What Hydra composes, its own section included."""
    # fairseq's command looks there for groups, too.
    return compose(config_name, ["hydra.searchpath=[pkg://fairseq.config]", *words], True)


def _options(config: Any, resolve: bool) -> Options:
    plain = OmegaConf.to_container(config, resolve=resolve, enum_to_str=True)
    return Options.of(plain)  # type: ignore[arg-type]


def run_name(config_name: str, overrides: Sequence[str]) -> str:
    """The name of a run's folder: the config's, then the overrides by key.

    >>> run_name("speech", ["++task.fold=k_fold/1", "common.seed=2", "common.user_dir=emo_fairseq"])
    'speech,common.seed=2,task.fold=k_fold-1'
    """
    pairs = sorted(word.lstrip("+").split("=", 1) for word in overrides)
    named = [[key, *values] for key, *values in pairs if not _UNNAMED.fullmatch(key)]
    words = ["=".join([key, *(_in_a_name(value) for value in values)]) for key, *values in named]
    name = ",".join([config_name, *words])
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[:_LONGEST_NAME]}-{digest}"


def _in_a_name(value: str) -> str:
    value = re.sub(r"""[][(){}'"\\]""", "", value)
    if value.startswith("/"):  # where it lies on this machine is no part of the name
        value = value.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^\w.+-]+", "-", value)
