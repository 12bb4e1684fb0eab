"""A trained model and what has to be known to ask it, out of a checkpoint; no data dir is opened.

:mod:`emo_fairseq.inference.model_folder` reads the same out of a folder.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fairseq import checkpoint_utils
from fairseq.dataclass.utils import merge_with_parent
from omegaconf import OmegaConf

from emo_fairseq.compat.checkpoints import TASK_NAME, LoadedState
from emo_fairseq.compat.size_limits import build_within
from emo_fairseq.data.dialogue import has_context
from emo_fairseq.data.in_memory import InMemoryData
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.input_processors import (
    FeatureRecipe,
    find_recipes,
    find_tokenizers,
    texts_are_clean,
)
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.tasks.config import EmotionPredictionConfig
from emo_fairseq.tasks.emotion_prediction import EmotionPredictionTask

logger = logging.getLogger(__name__)

# Of a task's options those that name places, or act on training or on a data dir alone.
_PLACES: Mapping[str, Any] = {
    "data": "",
    "data_raw": None,
    "fold": None,
    "cache_dir": None,
    "no_encoder_cache": True,
    "init_from": None,
    "init_text_from": None,
    "init_speech_from": None,
    "init_video_from": None,
    "mask_modality": None,
    "prototypes": None,
}
_SAVING = "save_"  # the beginning of options that write files
# What of a task's state is about the training alone, or about its utterances by name.
_NOT_KEPT = ("confidence", "embedding_queue", "prototypes")


@dataclass(frozen=True)
class FrontEnd:
    """How recordings and texts become what the encoders read.

    Attributes:
        missing: for each modality that cannot be computed what it lacks, as the end of a sentence.
        recipes: for each modality read as features how these are made.
        cleans_text: whether texts are normalized by :mod:`data_prep.manifest.cells`, as those of
            the training were.
    """

    missing: Mapping[str, str] = field(default_factory=dict)
    recipes: Mapping[str, FeatureRecipe] = field(default_factory=dict)
    cleans_text: bool = True


class LoadedModel(NamedTuple):
    """A model that can be asked.

    Attributes:
        task: an :class:`InferenceTask`.
        model: a :class:`RobertaEMOModel` in evaluation mode, on the CPU, or what stands in for it.
        tokenizers: for each modality read as tokens the folder of its tokenizer.
        front_end: see there.
    """

    task: "InferenceTask"
    model: Any
    tokenizers: Mapping[str, Path]
    front_end: FrontEnd = FrontEnd()


class InferenceTask(EmotionPredictionTask):
    """The task of a checkpoint or a model folder, without a data dir."""

    source: Any  # a InMemoryData

    def open_source(self) -> Any:
        return InMemoryData(self.cfg, self.modalities)


def build_task(options: Mapping[str, Any], state: Mapping[str, Any]) -> InferenceTask:
    """A task from its options and its state, both plain values.

    Raises:
        UsageError: the state is of another task.
    """
    unsaved = {name: value for name, value in options.items() if not name.startswith(_SAVING)}
    known = {**unsaved, **_PLACES, "_name": TASK_NAME}
    config = merge_with_parent(EmotionPredictionConfig(), OmegaConf.create(known), True)
    task: InferenceTask = InferenceTask.setup_task(config, from_checkpoint=True)
    kept = {name: value for name, value in state.items() if name not in _NOT_KEPT}
    task.load_state_dict({**kept, "fold": None})
    if has_context(config):
        logger.warning(
            "the model was trained with the neighboring turns of a dialogue; what it is asked "
            "here stands alone, so that figures of fairseq-validate do not hold for the answers"
        )
    return task


def build_model(task: InferenceTask, options: Mapping[str, Any]) -> RobertaEMOModel:
    """The task's model with random weights, in evaluation mode."""
    config = merge_with_parent(RobertaEMOConfig(), OmegaConf.create(dict(options)), True)
    model: RobertaEMOModel = task.build_model(config, from_checkpoint=True)
    return model.eval()


def read_checkpoint_model(checkpoint: Path, data: Path | None = None) -> LoadedModel:
    """The model of a checkpoint of this task.

    Args:
        checkpoint: the file.
        data: the data dir whose ``text/`` and ``speech/`` hold the tokenizers; by default the one
            that it was trained on.

    Raises:
        UsageError: no checkpoint of this task, or `data` is not of its tokens.
    """
    return model_of(read_checkpoint(checkpoint), checkpoint, data)


def read_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """What fairseq-train wrote. Raises a `UsageError` if it is none of this task."""
    if not checkpoint.is_file():
        raise UsageError(f"{checkpoint}: there is no such checkpoint; see where --save-dir was")
    saved: dict[str, Any] = checkpoint_utils.load_checkpoint_to_cpu(
        str(checkpoint), {"task": TASK_NAME}
    )
    return saved


def model_of(saved: Mapping[str, Any], checkpoint: Path, data: Path | None) -> LoadedModel:
    """The model of what :func:`read_checkpoint` read; see :func:`read_checkpoint_model`."""
    options = plain(saved["cfg"].task)
    state = saved.get("task_state", {})
    task = build_task(options, state)
    stored = state.stored if isinstance(state, LoadedState) else None
    with build_within(stored, str(checkpoint), "take another checkpoint"):
        model = build_model(task, plain(saved["cfg"].model))
    try:
        model.load_state_dict(saved["model"])
    except UsageError as error:
        raise UsageError(f"{checkpoint}: {error}") from error
    folder = Path(options["data"]) if data is None else data
    tokenizers, missing = find_tokenizers(task, folder, is_given=data is not None)
    recipes, without = find_recipes(task, folder)
    front_end = FrontEnd({**missing, **without}, recipes, texts_are_clean(folder))
    return LoadedModel(task, model, tokenizers, front_end)


def plain(config: Any) -> dict[str, Any]:
    """Options as plain values."""
    found = OmegaConf.to_container(config, resolve=True, enum_to_str=True)
    assert isinstance(found, dict)
    return {str(name): value for name, value in found.items()}
