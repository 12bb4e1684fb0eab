"""Load a trained model from a checkpoint of fairseq-train: weights, state and input processor.

:mod:`emo_fairseq.inference.model_folder` loads the same from a model folder.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairseq import checkpoint_utils

import emo_fairseq
from emo_fairseq.compat.checkpoints import TASK_NAME, LoadedState
from emo_fairseq.compat.size_limits import Stored, build_within
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.input_processor import InputProcessor
from emo_fairseq.inference.model import LoadedModel
from emo_fairseq.models.build import build_for_inference
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.task_state import TaskState


def load_checkpoint_model(checkpoint: Path, data: Path | None = None) -> LoadedModel:
    """Load the model of a checkpoint of this task.

    Args:
        checkpoint: the file.
        data: the data dir whose ``text/`` and ``speech/`` hold the tokenizers; by default the one
            that it was trained on.

    Raises:
        UsageError: no checkpoint of this task, or `data` is not of its tokens.
    """
    saved = read_checkpoint(checkpoint)
    state, model = build_checkpoint_model(saved, checkpoint)
    return LoadedModel(state, model, find_processor(saved, state, data))


def read_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """Read what fairseq-train wrote. Raises a `UsageError` if it is none of this task."""
    if not checkpoint.is_file():
        raise UsageError(
            f"{checkpoint}: there is no such checkpoint; see where --save-dir was",
            "checkpoint-missing",
        )
    emo_fairseq.register()
    saved: dict[str, Any] = checkpoint_utils.load_checkpoint_to_cpu(
        str(checkpoint), {"task": TASK_NAME}
    )
    return saved


def build_checkpoint_model(
    saved: Mapping[str, Any], checkpoint: Path
) -> tuple[TaskState, RobertaEMOModel]:
    """Build the model of a checkpoint, with its weights.

    Raises:
        UsageError: the model predicts nothing.
    """
    state = TaskState.from_checkpoint(saved)
    if state.target.is_none:
        raise UsageError(
            f"{checkpoint}: was pretrained without a target, and predicts nothing; train a model "
            "from it with --init-from",
            "model-pretrained-only",
        )
    kept = saved.get("task_state")
    stored = kept.stored if isinstance(kept, LoadedState) else None
    model = build_model(
        saved["cfg"].model, state, stored, str(checkpoint), "take another checkpoint"
    )
    try:
        model.load_state_dict(saved["model"])
    except UsageError as error:
        raise UsageError(f"{checkpoint}: {error}", error.code) from error
    return state, model


def build_model(
    options: Mapping[str, Any], state: TaskState, stored: Stored | None, name: str, remedy: str
) -> RobertaEMOModel:
    """Build a model in evaluation mode, no larger than what is stored of it.

    See :func:`emo_fairseq.compat.size_limits.build_within`.
    """
    with build_within(stored, name, remedy):
        return build_for_inference(options, state)


def find_processor(saved: Mapping[str, Any], state: TaskState, data: Path | None) -> InputProcessor:
    """Find the tokenizers and feature extractors of a checkpoint; see `load_checkpoint_model`."""
    folder = Path(saved["cfg"].task.data) if data is None else data
    return InputProcessor.from_data_dir(state, folder, is_required=data is not None)
