"""The grid of a sweep: from overrides with choices to every combination of them, as runs.

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

import yaml
from fairseq.dataclass.initialize import hydra_init
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from data_prep.files import flow_yaml
from data_prep.files.yaml_values import yaml_sentence
from data_prep.folds.file import folds_path, read_folds
from emo_fairseq.errors import UsageError
from emo_fairseq.experiments.names import ALL_OF, FOLD, SEED
from emo_fairseq.experiments.options import Options
from emo_fairseq.experiments.selection import refuse_test_selection

_SET_BY_SWEEP = ("checkpoint.save_dir", "hydra.run.dir", "hydra.job.chdir")
# Overrides that are not in the name of a run's folder.
_UNNAMED = re.compile(r"hydra[./].*|common\.(user_dir|log_\w+)|dataset\.num_workers")
_LONGEST_NAME = 160


@dataclass(frozen=True)
class PlannedRun:
    """One combination.

    Attributes:
        name: of its folder; it does not depend on the order of the overrides.
        overrides: for ``fairseq-hydra-train``.
        composed: the configuration that Hydra will write, interpolations unresolved.
        options: the same with interpolations resolved.
    """

    name: str
    overrides: tuple[str, ...]
    composed: Options
    options: Options


def plan_runs(config_dir: Path, config_name: str, overrides: Sequence[str]) -> list[PlannedRun]:
    """Return every combination of the choices in `overrides` and in the YAML, in order.

    Raises:
        UsageError: Hydra refuses the overrides, they set an option that the sweep sets, two
            combinations have the same name, or the test set would select a checkpoint.
    """
    if not (config_dir / f"{config_name}.yaml").is_file():
        available = ", ".join(sorted(file.stem for file in config_dir.glob("*.yaml"))) or "none"
        raise UsageError(
            f"{config_dir}: has no {config_name}.yaml; it has {available}", "config-name-unknown"
        )
    with _hydra(config_dir, config_name):
        planned = [run for words in combinations(overrides) for run in _plan(config_name, words)]
    names = [run.name for run in planned]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(
            f"two combinations are called {twice}; spell the value of one of them differently",
            "run-name-duplicate",
        )
    for run in planned:
        refuse_test_selection(run.options)
    return planned


@contextmanager
def _hydra(config_dir: Path, config_name: str) -> Iterator[None]:
    logging.getLogger("hydra").setLevel(logging.INFO)
    folder = str(config_dir.resolve())
    flow_yaml.apply()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what fairseq's own command warns of, too
            hydra_init(config_name)
            with initialize_config_dir(folder, job_name="hydra_train", version_base="1.1"):
                yield
    except (HydraException, OmegaConfBaseException) as error:
        reason = f" ({error.__cause__})" if error.__cause__ else ""
        message = " ".join(f"{error}{reason}".split())
        raise UsageError(message, "override-refused") from error
    except yaml.YAMLError as error:
        raise UsageError(yaml_sentence(error), "yaml-invalid") from error


def combinations(words: Sequence[str]) -> list[tuple[str, ...]]:
    """Return each combination of overrides with choices, as overrides without.

    Choices by pattern, such as ``glob(*)``, need Hydra to be initialized.

    >>> combinations(["common.seed=1,2", "task.fold=k_fold/1"])
    [('common.seed=1', '++task.fold=k_fold/1'), ('common.seed=2', '++task.fold=k_fold/1')]
    """
    hydra = GlobalHydra.instance()
    loader = hydra.config_loader() if hydra.is_initialized() else None
    parsed = OverridesParser.create(loader).parse_overrides(list(words))
    return list(itertools.product(*(_choices(override) for override in parsed)))


def _choices(override: Override) -> list[str]:
    if override.key_or_group in _SET_BY_SWEEP:
        raise UsageError(
            f"{override.input_line}: the sweep sets the folders of runs itself; leave it out",
            "option-set-by-sweep",
        )
    key = override.get_key_element()
    if override.key_or_group == FOLD:
        key = f"++{FOLD}"  # whether the YAML names it or not
    if not override.is_sweep_override():
        line = str(override.input_line)
        return [f"{key}={line.partition('=')[2]}" if key.endswith(FOLD) else line]
    if not override.is_discrete_sweep():
        raise UsageError(
            f"{override.input_line}: no list of values; write them as 1,2,3", "choice-not-discrete"
        )
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def _plan(config_name: str, given: tuple[str, ...]) -> Iterator[PlannedRun]:
    """The runs of one combination of the overrides: those of the YAML's choices, and all folds."""
    config = _compose(config_name, given)
    for with_yaml in _with_choices_of_yaml(config, given):
        for words in _with_all_folds(config_name, with_yaml):
            own = config if words == given else _compose(config_name, words)
            yield PlannedRun(run_name(config_name, words), words, *_options(own))


def _with_choices_of_yaml(config: DictConfig, words: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Add each combination of the YAML's own choices, but for options that `words` set.

    They are under ``hydra.sweeper.params``, where ``fairseq-hydra-train -m`` reads them, too.
    """
    params = config.hydra.sweeper.get("params") or {}
    given = {_key(word) for word in words}
    choices = [f"{key}={value}" for key, value in params.items() if _key(key) not in given]
    return [(*words, *more) for more in combinations(choices)]


def _key(word: str) -> str:
    return word.lstrip("+").partition("=")[0]


def _with_all_folds(config_name: str, words: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Replace ``all-of:PROTOCOL`` by each fold of that protocol."""
    prefix = f"++{FOLD}={ALL_OF}"
    index = next((n for n, word in enumerate(words) if word.startswith(prefix)), None)
    if index is None:
        return [words]
    protocol = words[index].removeprefix(prefix)
    before, after = words[:index], words[index + 1 :]
    _, options = _options(_compose(config_name, before + after))
    folds = read_folds(folds_path(options.data, protocol)).folds
    return [(*before, f"++{FOLD}={protocol}/{fold}", *after) for fold in folds]


def _compose(config_name: str, words: Sequence[str]) -> DictConfig:
    """What Hydra composes, its own section included."""
    # fairseq's command looks there for groups, too.
    return compose(config_name, ["hydra.searchpath=[pkg://fairseq.config]", *words], True)


def _options(config: DictConfig) -> tuple[Options, Options]:
    """The options with interpolations unresolved, and resolved, without Hydra's section."""
    HydraConfig.instance().set_config(config)  # for interpolations such as ${hydra:…}
    with open_dict(config):
        del config["hydra"]
    composed, resolved = (
        OmegaConf.to_container(config, resolve=resolve, enum_to_str=True)
        for resolve in (False, True)
    )
    return Options.of(composed), Options.of(resolved)  # type: ignore[arg-type]


def run_name(config_name: str, overrides: Sequence[str]) -> str:
    """Return the name of a run's folder: the configuration's, then the overrides by key.

    A long one is cut off before a digest, which seed and fold follow.

    >>> run_name("speech", ["++task.fold=k_fold/1", "common.seed=2", "common.user_dir=emo_fairseq"])
    'speech,common.seed=2,task.fold=k_fold-1'
    """
    pairs = sorted(word.lstrip("+").split("=", 1) for word in overrides)
    named = [[key, *values] for key, *values in pairs if not _UNNAMED.fullmatch(key)]
    words = {key: "=".join([key, *map(_in_a_name, values)]) for key, *values in named}
    name = ",".join([config_name, *words.values()])
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    end = "".join(f",{words.pop(key)}" for key in (SEED, FOLD) if key in words)
    end = end[: _LONGEST_NAME // 2]
    beginning = ",".join([config_name, *words.values()])[: _LONGEST_NAME - len(end)]
    return f"{beginning}-{digest}{end}"


def _in_a_name(value: str) -> str:
    value = re.sub(r"""[][(){}'"\\]""", "", value)
    if value.startswith("/"):  # the folder on this machine is no part of the name
        value = value.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^\w.+-]+", "-", value)
