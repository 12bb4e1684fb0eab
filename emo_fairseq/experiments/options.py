"""The options of a run."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
