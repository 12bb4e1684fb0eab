"""Model folders: all that a trained model needs, as plain JSON, tensors and tokenizer files.

``config.json`` holds the options and the state of the task, ``model.safetensors`` every tensor of
the model, encoders included; ``text/`` and ``speech/`` the tokenizers. Nothing in them is executed
on reading, nothing else is read, and nothing is fetched. What is read is what was written: see
:mod:`emo_fairseq.inference.folder_records`. :mod:`emo_fairseq.export.model_folder` writes them.
"""

from dataclasses import fields
from pathlib import Path
from typing import Any

from omegaconf.errors import OmegaConfBaseException
from pydantic import Field

import emo_fairseq
from data_prep.errors import ManifestError
from data_prep.files.documents import (
    Document,
    JsonObject,
    load_json,
    validate,
)
from data_prep.files.integrity import FileRecord
from data_prep.tokens.folder import TOKENIZER_FILE
from data_prep.tokens.vq_wav2vec_tokenizer import PLACE_FILE
from emo_fairseq.compat.size_limits import (
    Stored,
    build_within,
    check_sizes,
)
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.folder_records import CONFIG_FILE, verify_folder
from emo_fairseq.inference.loading import FrontEnd, LoadedModel, build_model, build_task
from emo_fairseq.inference.recipes import FeatureRecipe
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.pretrained.tensor_files import read_tensors
from emo_fairseq.task_state import EncoderState, Modality, PortableState
from emo_fairseq.tasks.config import EmotionPredictionConfig

FORMAT = 1
WEIGHTS_FILE = "model.safetensors"
FEATURES_FILE = "features_{}.safetensors"  # of the encoder behind a modality's features

_TOKENIZER_CONFIG = "tokenizer_config.json"  # of transformers
_EXPORT_AGAIN = "export the checkpoint again"
_ADDED = {"_name", "rebuild_batches"}  # to the options, by fairseq and by the task
# What transformers would fetch or run if a configuration named it.
_RUNS_CODE = (
    *("auto_map", "custom_generate", "trust_remote_code", "quantization_config"),
    "use_pretrained_backbone",
)
_WEIGHTS_OPTION, _ALL = "checkpoint_weights", "all"  # any other would be read from elsewhere


class FeaturesConfig(Document):
    """How the frames of one modality were extracted."""

    settings: JsonObject
    card: EncoderState | None
    reads_tokens: bool


class FrontEndConfig(Document):
    """See :class:`emo_fairseq.inference.loading.FrontEnd`."""

    tokenizers: list[Modality]
    missing: dict[Modality, str]
    cleans_text: bool
    features: dict[Modality, FeaturesConfig]


class FolderConfig(Document):
    """The schema of the config.json of a model folder."""

    format: int
    emo_fairseq: str
    task: JsonObject
    model: JsonObject
    state: PortableState
    front_end: FrontEndConfig
    files: dict[str, FileRecord] = Field(default_factory=dict)  # see `folder_records`
    digest: str = ""


def read_model_folder(folder: str | Path) -> LoadedModel:
    """Read a model folder.

    Raises:
        UsageError: a file is missing, damaged, or does not fit the others; names it.
    """
    folder = Path(folder)
    config = read_config(folder)
    place = folder / CONFIG_FILE
    verify_folder(folder, _read_json(place))
    tensors = read_tensors(folder / WEIGHTS_FILE)
    try:
        task = build_task(config.task, config.state.model_dump(exclude_unset=True))
        with build_within(Stored.of(tensors), str(place), _EXPORT_AGAIN):
            model = build_model(task, config.model)
    except UsageError as error:
        if str(folder) in str(error):
            raise
        raise UsageError(f"{place}: {error}") from error
    except (
        *(OmegaConfBaseException, AttributeError, AssertionError),
        *(LookupError, RuntimeError, TypeError, ValueError),
    ) as error:
        raise UsageError(
            f"{place}: describes no model that can be built ({type(error).__name__}: "
            f"{_reason(error)}); {_EXPORT_AGAIN}"
        ) from error
    try:
        model.load_state_dict(tensors)
    except UsageError as error:
        if str(folder) in str(error):
            raise
        raise UsageError(f"{folder / WEIGHTS_FILE}: {error}") from error
    tokenizers = {name: _tokenizer(folder / name) for name in config.front_end.tokenizers}
    return LoadedModel(task, model, tokenizers, _front_end(folder, config.front_end))


def _reason(error: Exception) -> str:
    """The first line of a message, and the option that omegaconf names in a later one."""
    first, *rest = str(error).strip().split("\n")
    keys = [line.strip() for line in rest if line.strip().startswith("full_key:")]
    return " ".join([first, *(f"({key})" for key in keys)])


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
            "`emotion-recognize export CHECKPOINT --output FOLDER`"
        )
    content = _read_json(file)
    if content.get("format") != FORMAT:
        raise UsageError(
            f"{file}: of format {content.get('format')}, where this version reads {FORMAT}; use "
            "the emo_fairseq that wrote it, or export the checkpoint again"
        )
    try:
        config = validate(content, FolderConfig, name=file, remedy=_EXPORT_AGAIN)
    except ManifestError as error:
        raise UsageError(str(error)) from error
    _check_options(file, config)
    return config


def _read_json(file: Path) -> JsonObject:
    """Nested plain values. Raises a `UsageError` if they are none, or name code to run."""
    try:
        content = load_json(file, JsonObject, remedy=_EXPORT_AGAIN)
    except ManifestError as error:
        raise UsageError(str(error)) from error
    code = _named_code(content)
    if code is not None:
        raise UsageError(
            f"{file}: names {code}, which may run the code of others; a model folder of ours "
            "names no such thing, so that this one is not loaded"
        )
    return content


def _check_options(file: Path, config: FolderConfig) -> None:
    """Refuse weights from elsewhere, options that do not exist, and sizes without bounds."""
    weights = config.model.get(_WEIGHTS_OPTION)
    if weights != _ALL:
        raise UsageError(
            f"{file}: {_WEIGHTS_OPTION} is {weights!r}, so that weights would be read from "
            "outside of the folder; a model folder of ours holds all, so that this one is not "
            "loaded"
        )
    for part, options, known in (
        ("task", config.task, EmotionPredictionConfig),
        ("model", config.model, RobertaEMOConfig),
    ):
        if unknown := sorted(options.keys() - {field.name for field in fields(known)} - _ADDED):
            raise UsageError(
                f"{file}: {part}.{unknown[0]} is an unknown option of emo_fairseq "
                f"{emo_fairseq.__version__}, and {config.emo_fairseq} wrote the folder; "
                f"{_EXPORT_AGAIN}"
            )
        check_sizes(options, f"{file}: {part}.", _EXPORT_AGAIN)
    for modality, card in config.state.encoders.items():
        where = f"{file}: state.encoders.{modality}.architecture."
        check_sizes(card.architecture, where, _EXPORT_AGAIN)


def _named_code(value: Any) -> str | None:
    """The first option in nested plain values that would run or fetch code."""
    if isinstance(value, list):
        return next((found for x in value if (found := _named_code(x))), None)
    if not isinstance(value, dict):
        return None
    for name, inside in value.items():
        is_kernel = "attn_implementation" in name and inside not in (None, "eager", "sdpa")
        if (name in _RUNS_CODE and inside) or is_kernel:
            return f"{name} {inside!r}"
        if found := _named_code(inside):
            return found
    return None


def _tokenizer(folder: Path) -> Path:
    if not (folder / TOKENIZER_FILE).is_file():
        raise UsageError(f"{folder / TOKENIZER_FILE}: is missing; export the checkpoint again")
    if (settings := folder / _TOKENIZER_CONFIG).is_file():
        _read_json(settings)
    note = folder / PLACE_FILE
    if note.is_file():
        name = note.read_text(encoding="utf-8").strip()
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise UsageError(
                f"{note}: names {name}, and not a file beside it; export the checkpoint again"
            )
    return folder


def _front_end(folder: Path, config: FrontEndConfig) -> FrontEnd:
    recipes = {}
    for modality, recipe in config.features.items():
        card = None if recipe.card is None else EncoderSpec(**recipe.card.model_dump())
        weights = None if card is None else read_tensors(folder / FEATURES_FILE.format(modality))
        tokenizer = _tokenizer(folder / modality) if recipe.reads_tokens else None
        recipes[modality] = FeatureRecipe(recipe.settings, card, weights, tokenizer)
    return FrontEnd(config.missing, recipes, config.cleans_text)
