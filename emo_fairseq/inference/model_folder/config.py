"""Model folders: all that a trained model needs, as plain JSON, tensors and tokenizer files.

``config.json`` holds options and state (:mod:`emo_fairseq.task_state`), ``model.safetensors`` every
tensor of the model, encoders included; ``text/`` and ``speech/`` the tokenizers. Nothing in them is
executed on reading, nothing else is read, and nothing is fetched.

``config.json`` also has the records that a folder is verified by: ``files`` are size and SHA-256 of
every other file that a model reads, its graph included; ``digest`` is of all the rest of
``config.json``, so that labels cannot change places in it either. The card, README.md, is for
people, who may edit it.
"""

from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import Field

import emo_fairseq
from data_prep.files.digests import FileRecord
from data_prep.files.documents import Document, JsonObject, load_json, validate
from emo_fairseq.compat.size_limits import check_sizes
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.model_folder.files import CONFIG_FILE, EXPORT_AGAIN
from emo_fairseq.modalities import MODALITIES
from emo_fairseq.state_schema import EncoderState, Modality, PortableState
from emo_fairseq.task_state import TaskOptions, TaskState

FORMAT = 1
ALLOW_LEAK = "allow_leak"
_ADDED_OPTIONS = {"_name", "rebuild_batches"}  # by fairseq and by the task
# What transformers would fetch or run if a configuration named it.
_RUNS_CODE = (
    "auto_map",
    "custom_generate",
    "trust_remote_code",
    "quantization_config",
    "use_pretrained_backbone",
)


class FeaturesConfig(Document):
    """A :class:`FeatureExtractorSpec`, whose weights and tokenizer are files of the folder."""

    settings: JsonObject
    card: EncoderState | None
    reads_tokens: bool


class ProcessorConfig(Document):
    """An :class:`InputProcessor`."""

    tokenizers: list[Modality]
    missing: dict[Modality, str]
    cleans_text: bool
    features: dict[Modality, FeaturesConfig]


class FolderConfig(Document):
    """The schema of config.json."""

    format: int
    emo_fairseq: str
    task: JsonObject
    model: JsonObject
    state: PortableState
    front_end: ProcessorConfig
    files: dict[str, FileRecord] = Field(default_factory=dict)
    digest: str = ""


def read_config(folder: Path) -> FolderConfig:
    """Load the config.json of a model folder.

    Raises:
        UsageError: there is none, or it is not of the schema `FolderConfig`, of another format,
            names code to run or files outside of the folder, or claims sizes that no model has.
    """
    file = folder / CONFIG_FILE
    if not file.is_file():
        raise UsageError(
            f"{file}: there is no such file, so this is no model folder; write one with "
            "`emotion-recognize export CHECKPOINT --output FOLDER`",
            "model-folder-missing",
        )
    content = read_json(file)
    if "format" not in content and "model_type" in content:
        raise UsageError(
            f"{file}: is of a model of transformers, and this is no model folder; if it is a "
            "classifier, `emotion-recognize import hf:SOURCE --output FOLDER` makes one of it",
            "model-folder-missing",
        )
    if content.get("format") != FORMAT:
        raise UsageError(
            f"{file}: of format {content.get('format')}, where this version reads {FORMAT}; use "
            "the emo_fairseq that wrote it, or export the checkpoint again",
            "format-unknown",
        )
    config = validate(content, FolderConfig, name=file, remedy=EXPORT_AGAIN)
    _check_sizes(file, config)
    return config


def read_state(folder: Path, config: FolderConfig) -> TaskState:
    """Return the state that a model folder describes. Raises a `UsageError` if it is none."""
    try:
        return TaskState.from_state(config.task, config.state.model_dump(exclude_unset=True))
    except UsageError as error:
        raise UsageError(f"{folder / CONFIG_FILE}: {error}", error.code) from error


def read_task_state(folder: Path, config: FolderConfig) -> dict[str, Any]:
    """Return the state of the task as a checkpoint has it, with the paths of vocabularies."""
    state = config.state.model_dump(exclude_unset=True, exclude={"prototypes"})
    for vocabulary in state.get("vocabulary", {}).values():  # its source is a file of the folder
        vocabulary["source"] = str(folder / vocabulary["source"])
    return state


def read_json(file: Path) -> JsonObject:
    """Load nested plain values. Raises a `UsageError` if they are none, or name code to run."""
    content = load_json(file, JsonObject, remedy=EXPORT_AGAIN)
    code = _find_code(content)
    if code is not None:
        raise UsageError(
            f"{file}: names {code}, which may run the code of others; a model folder of ours "
            "names no such thing, so that this one is not loaded",
            "model-runs-code",
        )
    return content


def _check_sizes(file: Path, config: FolderConfig) -> None:
    """Refuse weights from elsewhere, and sizes without bounds."""
    weights = config.model.get("checkpoint_weights")
    if weights != "all":
        raise UsageError(
            f"{file}: checkpoint_weights is {weights!r}, so that weights would be read from "
            "outside of the folder; a model folder of ours holds all, so that this one is not "
            "loaded",
            "weights-elsewhere",
        )
    for part, options in (("task", config.task), ("model", config.model)):
        check_sizes(options, f"{file}: {part}.", EXPORT_AGAIN)
    for modality, encoder in config.state.encoders.items():
        where = f"{file}: state.encoders.{modality}.architecture."
        check_sizes(encoder.architecture, where, EXPORT_AGAIN)


def check_options_exist(file: Path, config: FolderConfig) -> None:
    """Refuse options that do not exist."""
    from emo_fairseq.models.config import RobertaEMOConfig

    encoders = {f"{modality}_encoder" for modality in MODALITIES}
    of_task = {*TaskOptions.model_fields, *encoders, ALLOW_LEAK}
    of_model = {field.name for field in fields(RobertaEMOConfig)}
    for part, options, known in (("task", config.task, of_task), ("model", config.model, of_model)):
        if unknown := sorted(options.keys() - known - _ADDED_OPTIONS):
            raise UsageError(
                f"{file}: {part}.{unknown[0]} is an unknown option of emo_fairseq "
                f"{emo_fairseq.__version__}, and {config.emo_fairseq} wrote the folder; "
                f"{EXPORT_AGAIN}",
                "option-unknown",
            )


def _find_code(value: Any) -> str | None:
    """Return the first option in nested plain values that would run or fetch code."""
    if isinstance(value, list):
        return next((code for item in value if (code := _find_code(item))), None)
    if not isinstance(value, dict):
        return None
    for name, inner in value.items():
        is_kernel = "attn_implementation" in name and inner not in (None, "eager", "sdpa")
        if (name in _RUNS_CODE and inner) or is_kernel:
            return f"{name} {inner!r}"
        if code := _find_code(inner):
            return code
    return None
