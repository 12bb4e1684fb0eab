"""Model folders: all that a trained model needs, as plain JSON, tensors and tokenizer files.

``config.json`` holds the options and the state of the task, ``model.safetensors`` every tensor of
the model, encoders included; ``text/`` and ``speech/`` the tokenizers. Nothing in them is executed
on reading, nothing else is read, and nothing is fetched.

``config.json`` also has the records that a folder is verified by: ``files`` are size and SHA-256 of
every other file that a model reads, its graph included; ``digest`` is of all the rest of
``config.json``, so that labels cannot change places in it either. The card, README.md, is for
people, who may edit it.
"""

import contextlib
import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf.errors import OmegaConfBaseException
from pydantic import Field
from torch import Tensor

import emo_fairseq
from data_prep.errors import ManifestError
from data_prep.files.digests import (
    FileRecord,
    Records,
    file_digest,
    records_of,
    verify,
    warn_unverified,
)
from data_prep.files.documents import (
    Document,
    JsonObject,
    dump_yaml,
    load_json,
    validate,
)
from data_prep.files.replacing import replacing
from data_prep.messages import sentence
from data_prep.tokens.folder import TOKENIZER_FILE, read_card
from data_prep.tokens.vq_wav2vec import (
    PLACE_FILE,
    find_checkpoint,
)
from emo_fairseq.compat.size_limits import (
    Stored,
    build_within,
    check_sizes,
)
from emo_fairseq.encoder_spec import (
    PRETRAINED,
    EncoderSpec,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.input_processors import FeatureRecipe
from emo_fairseq.inference.loading import (
    FrontEnd,
    LoadedModel,
    build_model,
    build_task,
    model_of,
    plain,
    read_checkpoint,
)
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.modules.lora import is_adapter, merged_state_dict
from emo_fairseq.pretrained.fairseq_vq import write_quantizer
from emo_fairseq.pretrained.weights import (
    read_tensors,
    write_tensors,
)
from emo_fairseq.state_schema import EncoderState, Modality, PortableState
from emo_fairseq.tasks.config import EmotionPredictionConfig
from emo_fairseq.types import (
    FULL,
    LORA,
    MODALITIES,
)

CONFIG_FILE = "config.json"
GRAPH_FILE = "model.onnx"  # and what begins so: its weights, if they are large
FILES, DIGEST = "files", "digest"

_FOR_PEOPLE = "README.md"
_COPY_OR_EXPORT_AGAIN = "copy the folder again, or export the checkpoint again"


def seal(folder: Path) -> None:
    """Write the records of all files of a complete model folder into its ``config.json``."""
    file = folder / CONFIG_FILE
    content: dict[str, Any] = load_json(file, JsonObject, remedy=_COPY_OR_EXPORT_AGAIN)
    content[FILES] = records_of(folder, _files(folder))
    content[DIGEST] = _digest(content)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    with replacing(file) as part:
        part.write_text(f"{text}\n", encoding="utf-8")


def verify_folder(folder: Path, content: Mapping[str, Any]) -> None:
    """Hold a model folder to its records; those of the graph are left to :func:`verify_graph`.

    Args:
        folder: the model folder.
        content: of its ``config.json``.

    Raises:
        UsageError: a file is missing, damaged or exchanged, or one has come to the tokenizers;
            names it.
    """
    file = folder / CONFIG_FILE
    if DIGEST not in content:
        warn_unverified(file, "export the checkpoint again, which adds it")
        return
    if content[DIGEST] != _digest(content):
        raise UsageError(f"{file}: was changed since it was exported; {_COPY_OR_EXPORT_AGAIN}")
    records: Records = content[FILES]
    _verify_files(folder, {name: x for name, x in records.items() if not _is_of_graph(name)})
    added = [name for name in _files(folder) if "/" in name and name not in records]
    folders = {name.partition("/")[0] for name in records if "/" in name}
    if strange := [name for name in added if name.partition("/")[0] in folders]:
        raise UsageError(
            f"{folder / strange[0]}: is not of the export, and a tokenizer may read it; remove it, "
            f"or {_COPY_OR_EXPORT_AGAIN}"
        )


def verify_graph(folder: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
    """Hold the graph of a model folder to its records.

    Args:
        folder: the model folder.
        records: of its ``config.json``; empty where an older version wrote it.

    Raises:
        UsageError: the graph is not the one that was exported into this folder.
    """
    of_graph = {name: record for name, record in records.items() if _is_of_graph(name)}
    if records and GRAPH_FILE not in of_graph:
        raise UsageError(
            f"{folder / GRAPH_FILE}: {folder / CONFIG_FILE} has no record of it, so it is of "
            "another model; export the checkpoint again with --onnx"
        )
    _verify_files(folder, of_graph)


def _verify_files(folder: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
    try:
        for name, record in records.items():
            verify(folder / name, record, _COPY_OR_EXPORT_AGAIN)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _files(folder: Path) -> list[str]:
    """All files but ``config.json``, the card and hidden ones, by their path in the folder."""
    found = [file.relative_to(folder) for file in folder.rglob("*") if file.is_file()]
    return sorted(
        file.as_posix()
        for file in found
        if str(file) not in (CONFIG_FILE, _FOR_PEOPLE)
        and not any(part.startswith(".") for part in file.parts)
    )


def _is_of_graph(name: str) -> bool:
    return name.startswith(GRAPH_FILE)


def _digest(content: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in content.items() if name != DIGEST}
    text = json.dumps(rest, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


# -- reading ---------------------------------------------------------------------------------------

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
    files: dict[str, FileRecord] = Field(default_factory=dict)  # see `seal`
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


# -- replacing a model folder ----------------------------------------------------------------------

UNFINISHED = ".unfinished"  # in the folder, so that moving out of it is renaming
_OF_A_MODEL = ("README.md", "model.onnx*")  # what was made of the old weights alone


@contextlib.contextmanager
def replace_folder(out: Path) -> Iterator[Path]:
    """An empty folder whose contents take the place of the model in `out` at the end.

    If anything is raised, `out` stays as it was, or is not made. What is in it and of no model
    stays, too. A run that is killed while the files are moved leaves no ``config.json``, so that
    nobody takes what is there for a model.
    """
    new = out / UNFINISHED
    was_there, was_cut_short = out.exists(), new.exists()
    _remove(new)
    new.mkdir(parents=True)
    try:
        yield new
    except BaseException:
        shutil.rmtree(new if was_there else out, ignore_errors=True)
        if was_cut_short:
            new.mkdir()  # it still is
        raise
    _remove_model(out)
    written = sorted(new.iterdir(), key=lambda file: file.name == CONFIG_FILE)  # that one last
    for file in written:
        _remove(out / file.name)
        file.rename(out / file.name)
    new.rmdir()


def _remove_model(out: Path) -> None:
    (out / CONFIG_FILE).unlink(missing_ok=True)  # from here on this is no model folder
    for pattern in _OF_A_MODEL:
        for stale in out.glob(pattern):
            stale.unlink()
    for modality in MODALITIES:
        (out / FEATURES_FILE.format(modality)).unlink(missing_ok=True)
        if (out / modality / TOKENIZER_FILE).is_file():
            _remove(out / modality)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


# -- a tokenizer's own files -----------------------------------------------------------------------

_QUANTIZER_FILE = "vq-wav2vec.safetensors"


def copy_tokenizer(folder: Path, out: Path) -> None:
    """Copy what makes tokens of new texts or sounds.

    A quantizer that tokens come from, which a token folder only points at, is put there too, its
    weights alone.

    Args:
        folder: ``text/`` or ``speech/`` of a data dir.
        out: the folder that is to hold the files.

    Raises:
        ValueError: the quantizer's checkpoint is gone, or is another one.
    """
    card = read_card(folder)
    out.mkdir(parents=True, exist_ok=True)
    for name in card["files"]:
        (out / name).write_bytes((folder / name).read_bytes())
    settings = dict(card["settings"])
    if (folder / PLACE_FILE).is_file():
        checkpoint = find_checkpoint(folder, settings["checkpoint"])
        write_quantizer(checkpoint, out / _QUANTIZER_FILE)
        (out / PLACE_FILE).write_text(f"{_QUANTIZER_FILE}\n", encoding="utf-8")
        settings["checkpoint"] = file_digest(out / _QUANTIZER_FILE)
    text = dump_yaml({**card, "settings": settings, "splits": {}})
    (out / TOKENIZER_FILE).write_text(text, encoding="utf-8")


# -- writing ---------------------------------------------------------------------------------------

logger = logging.getLogger(__name__)

# Of the state.
_KEPT = (
    "labels",
    "class_counts",
    "auxiliary_labels",
    "frame_statistics",
    "corpus",
    "fold",
    "provenance",
)
_PROTOTYPES = "prototypes"  # of the state too: for readers, the model does not ask for them


def write_model_folder(
    checkpoint: str | Path,
    data: str | Path | None,
    out: str | Path,
    *,
    merge_lora: bool = False,
    finish: Callable[[Path], object] | None = None,
) -> Path:
    """Write the model of a checkpoint into a folder that needs nothing beside it.

    A model that is there already is replaced, with its card and its graph, once all is written; if
    something is refused before that, it stays as it was.

    Args:
        checkpoint: such as ``checkpoint_best.pt``.
        data: the data dir with the tokenizers; by default the one that it was trained on.
        out: the folder; if it is there, a model folder or empty.
        merge_lora: put LoRA's updates into the weights.
        finish: is given the new folder before it takes its place, and may write a card into it.

    Returns:
        `out`.

    Raises:
        UsageError: no checkpoint of this task, tokenizers of another model, `out` holds other
            things, or there is no LoRA to merge.
    """
    checkpoint, out = Path(checkpoint), Path(out)
    if out.exists() and not (out.is_dir() and _is_ours(out)):
        raise UsageError(f"{out}: holds other things than a model; give another folder")
    saved = read_checkpoint(checkpoint)
    loaded = model_of(saved, checkpoint, None if data is None else Path(data))
    loaded.model.leave_out(())
    tensors: dict[str, Tensor] = loaded.model.state_dict()
    options = plain(saved["cfg"].model) | {"checkpoint_weights": "all"}
    if merge_lora:
        tensors, options = _merged(checkpoint, tensors, options)
    config = {
        "format": FORMAT,
        "emo_fairseq": emo_fairseq.__version__,
        "task": _portable(plain(loaded.task.cfg)),
        "model": options,
        "state": _state(saved.get("task_state", {})),
        "front_end": _front_end_state(loaded),
    }
    text = json.dumps(config, indent=1, ensure_ascii=False, allow_nan=False)
    with replace_folder(out) as folder:
        _write(loaded, tensors, text, folder)
        if finish is not None:
            finish(folder)
    for modality, what in loaded.front_end.missing.items():
        logger.warning("%s: cannot predict from %s, it lacks %s", out, modality, what)
    return out


def _is_ours(folder: Path) -> bool:
    """Whether a folder is empty, a model folder, or one whose writing was cut short."""
    if (folder / UNFINISHED).exists() or not any(folder.iterdir()):
        return True
    try:
        config = load_json(folder / CONFIG_FILE, JsonObject, remedy="")
    except ManifestError:
        return False
    return {"format", "front_end"} <= config.keys()


def _merged(
    checkpoint: Path, tensors: Mapping[str, Tensor], options: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not any(map(is_adapter, tensors)):
        raise UsageError(f"{checkpoint}: no encoder has LoRA; there is nothing to merge")
    merged = dict(options)
    for modality in MODALITIES:
        if str(options.get(f"{modality}_tuning")) == LORA:
            merged[f"{modality}_tuning"] = FULL
    return merged_state_dict(tensors), merged


def _write(loaded: LoadedModel, tensors: Mapping[str, Tensor], config: str, out: Path) -> None:
    tokenizers = dict(loaded.tokenizers)
    for modality, recipe in loaded.front_end.recipes.items():
        if recipe.weights is not None:
            write_tensors(out / FEATURES_FILE.format(modality), recipe.weights)
        if recipe.tokenizer is not None:
            tokenizers[modality] = recipe.tokenizer
    for modality, folder in tokenizers.items():
        _copy_tokenizer(folder, out / modality)
    write_tensors(out / WEIGHTS_FILE, tensors)
    (out / CONFIG_FILE).write_text(config, encoding="utf-8")
    seal(out)


def _copy_tokenizer(folder: Path, out: Path) -> None:
    try:
        copy_tokenizer(folder, out)
    except (OSError, ValueError) as error:
        what = f"{folder}: the tokenizer cannot be copied to {out}"
        raise UsageError(f"{what}: {sentence(error)}") from error


def _portable(options: dict[str, Any]) -> dict[str, Any]:
    """The task's options, with the names of encoders in place of where they lay."""
    for modality in MODALITIES:
        spec = options.get(f"{modality}_encoder")
        if spec is not None:
            options[f"{modality}_encoder"] = portable_spec(spec)
    return options


def portable_spec(spec: str) -> str:
    """An encoder's spec without the folders it lay in.

    >>> portable_spec("hf:/home/me/models/mpnet"), portable_spec("features:wavlm")
    ('hf:mpnet', 'features:wavlm')
    """
    kind, _, place = spec.partition(":")
    return f"{kind}:{Path(place).name}" if kind in PRETRAINED else spec


def _portable_card(card: EncoderSpec) -> dict[str, Any]:
    return replace(card, spec=portable_spec(card.spec)).to_state()


def _state(task_state: Mapping[str, Any]) -> dict[str, Any]:
    """What a task's state tells of the model, as plain values without places."""
    kept = {name: task_state[name] for name in _KEPT if name in task_state}
    encoders = {
        name: _portable_card(EncoderSpec(**card))
        for name, card in task_state.get("encoders", {}).items()
    }
    vocabulary = {
        name: {**entry, "source": f"{name}/{Path(str(entry['source'])).name}"}
        for name, entry in task_state.get("vocabulary", {}).items()
    }
    found = {**kept, "encoders": encoders, "vocabulary": vocabulary}
    if prototypes := task_state.get(_PROTOTYPES):
        found[_PROTOTYPES] = {str(name): _plain(value) for name, value in prototypes.items()}
    return found


def _plain(value: Any) -> Any:
    """Tensors as nested lists; NaN, a class without prototype, as None."""
    if isinstance(value, Tensor):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    is_number = isinstance(value, float)
    return None if is_number and not torch.isfinite(torch.tensor(value)) else value


def _front_end_state(loaded: LoadedModel) -> dict[str, Any]:
    front_end = loaded.front_end
    return {
        "tokenizers": list(loaded.tokenizers),
        "missing": dict(front_end.missing),
        "cleans_text": front_end.cleans_text,
        "features": {
            modality: {
                "settings": dict(recipe.settings),
                "card": None if recipe.card is None else _portable_card(recipe.card),
                "reads_tokens": recipe.tokenizer is not None,
            }
            for modality, recipe in front_end.recipes.items()
        },
    }
