"""The options of a run, what its checkpoint records of it, and the set that selected that."""

import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from pydantic import Field

from data_prep.files.documents import ForeignDocument, validate
from data_prep.schema import TEST, TRAIN
from emo_fairseq.compat.torch_files import load_torch_file, reason
from emo_fairseq.errors import UsageError
from emo_fairseq.experiments.names import DATA, FOLD, SEED
from emo_fairseq.option_values import default_fusion
from emo_fairseq.options import legacy_flags
from emo_fairseq.options.option import Kind
from emo_fairseq.options.registered import kind_of

# Of fairseq's own options those on which neither the updates of a training nor its result depend.
_WITHOUT_EFFECT = re.compile(
    r"""(hydra|job_logging_cfg|common_eval|generation|eval_lm|interactive|scoring|bpe|tokenizer)(\..*)?
    |distributed_training\.(?!distributed_world_size$).*
    |common\.(user_dir|no_progress_bar|log_\w+|aim_\w+|tensorboard_logdir|wandb_project|
        azureml_logging|profile|reset_logging|suppress_crashes|\w*plasma\w*|all_gather_list_size)
    |dataset\.(num_workers|data_buffer_size|gen_subset|batch_size_valid|max_tokens_valid)
    |checkpoint\.(save_dir|keep_\w+|no_epoch_checkpoints|write_checkpoints_asynchronously)""",
    re.VERBOSE,
)
# What torch, pickle and the lookups below raise of a damaged or foreign file.
_UNREADABLE = (
    OSError,
    RuntimeError,
    ValueError,
    LookupError,
    AttributeError,
    EOFError,
    pickle.UnpicklingError,
)


@dataclass(frozen=True)
class Options:
    """Options by name, such as ``common.seed``; those that are None are left out.

    Attributes:
        values: as in the configuration.
    """

    values: Mapping[str, Any]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Options":
        """Flatten sections of options.

        >>> Options.of({"common": {"seed": 2, "fp16": None}}).values
        {'common.seed': 2}
        """
        return cls(dict(sorted(_flatten(config).items())))

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of an option."""
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
        """The protocol of the fold, such as ``k_fold``; empty where the splits on disk are used."""
        return str(self.get(FOLD, "")).partition("/")[0]

    @property
    def fold(self) -> str:
        """The fold's name within its protocol; empty where the splits on disk are used."""
        return str(self.get(FOLD, "")).partition("/")[2]

    @property
    def of_training(self) -> dict[str, Any]:
        """The options that the training depends on."""
        return {
            name: value
            for name, value in resolve_fusion(self.values).items()
            if not _WITHOUT_EFFECT.fullmatch(name) and kind_of(name) is not Kind.OUTPUT
        }

    @property
    def of_system(self) -> dict[str, str]:
        """The options in which systems differ: without seed, fold and path of the data.

        In the path of another run's checkpoint, the run's own seed and fold count as the same.
        """
        return {
            name: json.dumps(self._without_own_seed_and_fold(name, x), default=str)
            for name, x in self.of_training.items()
            if name != SEED and kind_of(name) is not Kind.DATA
        }

    def _without_own_seed_and_fold(self, name: str, value: Any) -> Any:
        if not (isinstance(value, str) and kind_of(name) is Kind.OTHER_RUN):
            return value
        value = re.sub(rf"(?<=seed)([=_-]?){self.seed}(?!\d)", r"\1SEED", value)
        if self.protocol:
            fold = rf"(?<={re.escape(self.protocol)})([-/]){re.escape(self.fold)}(?!\w)"
            value = re.sub(fold, r"\1FOLD", value)
        return value


def resolve_fusion(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a run with its fusion, which checkpoints did not always record.

    >>> resolve_fusion({"model._name": "robertaEMO", "task.modality": "text"})["model.fusion"]
    'concat'

    Args:
        options: by their place in the configuration; those that are None are left out.
    """
    if "model._name" not in options or "model.fusion" in options:
        return dict(options)
    names = ("modality", *legacy_flags.MODALITY_FLAGS)
    task = SimpleNamespace(**{name: options.get(f"task.{name}") for name in names})
    return {**options, "model.fusion": default_fusion(len(legacy_flags.modalities(task)))}


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        elif value is not None:
            flat[prefix + str(name)] = value
    return flat


# --- Checkpoints ----------------------------------------------------------------------------------


class Checkpoint(NamedTuple):
    """What a checkpoint records beside its weights.

    Attributes:
        options: of the training.
        labels: of the model, in order; empty for dimensional targets.
        corpus: name of the training corpus; None where it is not recorded.
        updates: of the training so far.
    """

    options: Options
    labels: tuple[str, ...]
    corpus: str | None
    updates: int


class _TaskState(ForeignDocument):
    """The part of the task's state that is used here; inference validates all of it."""

    labels: list[str] = Field(default_factory=list)
    corpus: str | None = None


def read_checkpoint(file: Path) -> Checkpoint:
    """Read all of a checkpoint but the weights.

    Raises:
        UsageError: the file cannot be read, or fairseq-train did not write it.
        ManifestError: its task state does not follow the schema.
    """
    try:
        content = load_torch_file(file, with_tensors=False)
        task_state, config = content["task_state"], content["cfg"]
        updates = int(content["optimizer_history"][-1]["num_updates"])
        options = Options.of(config)
    except UsageError:
        raise
    except _UNREADABLE as error:
        problem = f"{type(error).__name__}: {reason(error)}"
        raise UsageError(
            f"{file}: cannot be read as a checkpoint ({problem})", "checkpoint-unreadable"
        ) from error
    state = validate(task_state, _TaskState, name=file, remedy="train it again", at="task_state")
    return Checkpoint(options, tuple(state.labels), state.corpus, updates)


# --- The set that selects a checkpoint: never the test set ----------------------------------------


def selection_set(options: Options) -> str | None:
    """Return the set by which fairseq keeps checkpoint_best.pt; None if nothing is validated."""
    if options.get("dataset.disable_validation", False):
        return None
    return str(options.get("dataset.valid_subset", "valid")).split(",")[0]


def selected_by(options: Options) -> str:
    """Describe the set and the metric that selected the checkpoint.

    >>> selected_by(Options({"checkpoint.best_checkpoint_metric": "uar"}))
    'valid (smallest uar)'
    """
    subset = selection_set(options)
    if subset is None:
        return "no set (the last checkpoint)"
    metric = options.get("checkpoint.best_checkpoint_metric", "loss")
    largest = options.get("checkpoint.maximize_best_checkpoint_metric", False)
    return f"{subset} ({'largest' if largest else 'smallest'} {metric})"


def refuse_test_selection(options: Options) -> None:
    """Raise a `UsageError` if the test set is trained on, or selects the checkpoint."""
    if selection_set(options) == TEST:
        raise UsageError(
            f"dataset.valid_subset is {TEST}: the set that is reported would select the checkpoint "
            "(and stop the training); leave it at valid",
            "test-set-selects",
        )
    if TEST in str(options.get("dataset.train_subset", TRAIN)).split(","):
        raise UsageError(
            f"dataset.train_subset is {TEST}: the set that is reported is trained on; name another",
            "test-set-trained-on",
        )
