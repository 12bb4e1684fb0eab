"""The options that a run was trained with, and which of them make it another system."""

import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from data_prep.errors import ManifestError
from data_prep.files.documents import (
    ForeignDocument,
    validate,
)
from emo_fairseq.compat.torch_files import (
    load_torch_file,
    reason,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.options.option import Kind
from emo_fairseq.options.registered import kind_of

SEED, FOLD, DATA, DATA_RAW = "common.seed", "task.fold", "task.data", "task.data_raw"

# Of fairseq's own options those that no training and no metric depends on.
_INERT = re.compile(
    r"""(hydra|job_logging_cfg|common_eval|generation|eval_lm|interactive|scoring|bpe|tokenizer)(\..*)?
    |distributed_training\.(?!distributed_world_size$).*
    |common\.(user_dir|no_progress_bar|log_\w+|aim_\w+|tensorboard_logdir|wandb_project|
        azureml_logging|profile|reset_logging|suppress_crashes|\w*plasma\w*|all_gather_list_size)
    |dataset\.(num_workers|data_buffer_size|gen_subset|batch_size_valid|max_tokens_valid)
    |checkpoint\.(save_dir|keep_\w+|no_epoch_checkpoints|write_checkpoints_asynchronously)""",
    re.VERBOSE,
)
_UNREADABLE = (OSError, RuntimeError, ValueError, LookupError, AttributeError, EOFError)
_OF_ONE_RUN = frozenset({SEED, FOLD, DATA, DATA_RAW})


@dataclass(frozen=True)
class Options:
    """Options by name, such as ``common.seed``; those that are None are left out.

    Attributes:
        values: as in the configuration.
    """

    values: Mapping[str, Any]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Options":
        """From sections of options."""
        return cls(dict(sorted(_flat(config).items())))

    def get(self, name: str, default: Any = None) -> Any:
        """The value of an option."""
        return self.values.get(name, default)

    @property
    def seed(self) -> int:
        """``common.seed``."""
        return int(self.get(SEED, 1))

    @property
    def data(self) -> Path:
        """The data dir."""
        return Path(self.get(DATA, ""))

    @property
    def protocol(self) -> str:
        """What the fold is one of; empty where the splits on disk are used."""
        return str(self.get(FOLD, "")).partition("/")[0]

    @property
    def fold(self) -> str:
        """The fold's name within its protocol; empty where the splits on disk are used."""
        return str(self.get(FOLD, "")).partition("/")[2]

    @property
    def acting(self) -> dict[str, Any]:
        """Those that the training depends on."""
        return {
            name: value
            for name, value in self.values.items()
            if not _INERT.fullmatch(name) and kind_of(name) is not Kind.OUTPUT
        }

    @property
    def of_system(self) -> dict[str, str]:
        """Those in which systems differ: neither seed, fold, nor where the data lie.

        In the path of another run's checkpoint, the run's own seed and fold count as the same.
        """
        return {
            name: json.dumps(self._shared(name, x), default=str)
            for name, x in self.acting.items()
            if name not in _OF_ONE_RUN
        }

    def _shared(self, name: str, value: Any) -> Any:
        if not (isinstance(value, str) and kind_of(name) is Kind.OTHER_RUN):
            return value
        value = re.sub(rf"(?<=seed)([=_-]?){self.seed}(?!\d)", r"\1SEED", value)
        if self.protocol:
            fold = rf"(?<={re.escape(self.protocol)})([-/]){re.escape(self.fold)}(?!\w)"
            value = re.sub(fold, r"\1FOLD", value)
        return value


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        elif value is not None:
            found[prefix + str(name)] = value
    return found


def differences(before: Options, now: Options) -> list[str]:
    """What has changed of what a training depends on, in words."""
    one, two = before.acting, now.acting
    return [
        f"{name} {one.get(name)} -> {two.get(name)}"
        for name in sorted(one.keys() | two.keys())
        if one.get(name) != two.get(name)
    ]


class Checkpoint(NamedTuple):
    """What a checkpoint says beside its weights."""

    options: Options
    labels: tuple[str, ...]
    corpus: str | None
    updates: int


class _Known(ForeignDocument):
    """Of the task's state what tables of runs need; the rest is checked where a model is loaded."""

    labels: list[str] = Field(default_factory=list)
    corpus: str | None = None


def _known(file: Path, state: object) -> _Known:
    try:
        return validate(state, _Known, name=file, remedy="train it again", at="task_state")
    except ManifestError as error:
        raise UsageError(str(error)) from error


def read_checkpoint(file: Path) -> Checkpoint:
    """Read all but the weights, which stay on disk.

    Raises:
        UsageError: the file cannot be read, or fairseq-train did not write it.
    """
    try:
        state = load_torch_file(file, with_tensors=False)
        known = _known(file, state["task_state"])
        updates = int(state["optimizer_history"][-1]["num_updates"])
        return Checkpoint(Options.of(state["cfg"]), tuple(known.labels), known.corpus, updates)
    except UsageError:
        raise
    except (*_UNREADABLE, pickle.UnpicklingError) as error:
        what = f"{type(error).__name__}: {reason(error)}"
        raise UsageError(f"{file}: cannot be read as a checkpoint ({what})") from error


# --- Which set chose a checkpoint: never the test set ---------------------------------------------

TEST = "test"


def choosing_set(options: Options) -> str | None:
    """The set by which fairseq keeps checkpoint_best.pt; None if nothing is validated."""
    if options.get("dataset.disable_validation", False):
        return None
    return str(options.get("dataset.valid_subset", "valid")).split(",")[0]


def chosen_by(options: Options) -> str:
    """The set and the metric, in words."""
    subset = choosing_set(options)
    if subset is None:
        return "no set (the last checkpoint)"
    metric = options.get("checkpoint.best_checkpoint_metric", "loss")
    largest = options.get("checkpoint.maximize_best_checkpoint_metric", False)
    return f"{subset} ({'largest' if largest else 'smallest'} {metric})"


def refuse_test_selection(options: Options) -> None:
    """Raise a `UsageError` if the test set is trained on, or chooses the checkpoint."""
    if choosing_set(options) == TEST:
        raise UsageError(
            f"dataset.valid_subset is {TEST}: the set that is reported would choose the checkpoint "
            "(and stop the training); leave it at valid"
        )
    if TEST in str(options.get("dataset.train_subset", "train")).split(","):
        raise UsageError(f"dataset.train_subset is {TEST}: the set that is reported is trained on")
