"""An earlier stage of training, whose weights another one begins with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fairseq import checkpoint_utils
from torch import Tensor

from data_prep.files.hub import local_folder
from emo_fairseq.compat.checkpoints import TASK_NAME
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modules.lora import merged_state_dict
from emo_fairseq.tasks.provenance import Accept, stored_provenance


class Stage(NamedTuple):
    """An earlier stage.

    Attributes:
        option: which names it, and its file or folder, for messages.
        parameters: plain ones; LoRA's updates are merged.
        task_state: state of its task.
        options: of its model.
    """

    option: str
    parameters: Mapping[str, Tensor]
    task_state: Mapping[str, Any]
    options: Mapping[str, Any]

    def spec(self, modality: str) -> EncoderSpec | None:
        """Return its encoder; None if it has none, or its version did not record it."""
        state = self.task_state.get("encoders", {}).get(modality)
        return None if state is None else EncoderSpec(**state)

    def left_to_files(self, modality: str) -> EncoderSpec | None:
        """Return an encoder whose weights ``--checkpoint-weights trained`` has left out."""
        spec, backbone = self.spec(modality), backbone_prefix(modality)
        is_held = any(name.startswith(backbone) for name in self.parameters)
        return None if is_held or spec is None or not spec.is_pretrained else spec


def prefix(modality: str) -> str:
    """Return the beginning of the names of an encoder's parameters."""
    return f"encoders.{modality}."


def backbone_prefix(modality: str) -> str:
    """Return the same without what is learned on top of the encoder."""
    return f"{prefix(modality)}backbone."


def standardization_prefix(modality: str) -> str:
    """Return the beginning of the names of the statistics that standardize its outputs."""
    return f"{prefix(modality)}standardize."


def read_stage(option: str, path: str, accept: Accept, only: str = "") -> Stage:
    """Read a stage, of its parameters those whose names begin with `only`.

    Raises:
        UsageError: the training does not accept it, or it lacks what LoRA's updates belong to.
    """
    source = local_folder(path)
    saved = _read_folder(source) if source.is_dir() else _read_checkpoint(source)
    accept(option, path, stored_provenance(saved.task_state, path))
    parameters = {name: value for name, value in saved.parameters.items() if name.startswith(only)}
    try:
        merged = merged_state_dict(parameters)
    except ValueError as error:
        raise UsageError(
            f"{option} {path}: was saved with --checkpoint-weights trained and holds LoRA's "
            f"updates alone ({error}); train that stage with --checkpoint-weights all",
            "stage-encoder-missing",
        ) from error
    return saved._replace(option=f"{option} {path}", parameters=merged)


def _read_checkpoint(file: Path) -> Stage:
    state = checkpoint_utils.load_checkpoint_to_cpu(str(file), {"task": TASK_NAME})
    return Stage("", state["model"], state.get("task_state", {}), state["cfg"]["model"])


def _read_folder(folder: Path) -> Stage:
    from emo_fairseq.inference.model_folder.config import read_config, read_task_state
    from emo_fairseq.inference.model_folder.reading import read_model_folder

    parameters = read_model_folder(folder).model.state_dict()
    config = read_config(folder)
    return Stage("", parameters, read_task_state(folder, config), config.model)
