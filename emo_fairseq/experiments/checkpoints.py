"""What a checkpoint records of its run, beside its weights."""

import pickle
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from data_prep.files.documents import ForeignDocument, validate
from emo_fairseq.compat.torch_files import load_torch_file, reason
from emo_fairseq.errors import UsageError
from emo_fairseq.experiments.options import Options

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
