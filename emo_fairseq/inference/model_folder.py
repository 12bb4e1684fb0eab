"""Model folders: all that a trained model needs, as plain JSON, tensors and tokenizer files.

``config.json`` holds options and state (:mod:`emo_fairseq.task_state`), ``model.safetensors`` every
tensor of the model, encoders included; ``text/`` and ``speech/`` the tokenizers. Nothing in them is
executed on reading, nothing else is read, and nothing is fetched.

``config.json`` also has the records that a folder is verified by: ``files`` are size and SHA-256 of
every other file that a model reads, its graph included; ``digest`` is of all the rest of
``config.json``, so that labels cannot change places in it either. The card, README.md, is for
people, who may edit it.
"""

import contextlib
import hashlib
import json
import logging
import math
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

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
from data_prep.files.documents import Document, JsonObject, dump_yaml, load_json, validate
from data_prep.files.hub import parse_hub_name
from data_prep.files.replacing import replacing
from data_prep.messages import sentence
from data_prep.tokens.folder import TOKENIZER_FILE, read_card
from data_prep.tokens.vq_wav2vec import PATH_FILE
from emo_fairseq.compat.size_limits import check_sizes
from emo_fairseq.encoder_spec import PRETRAINED, EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.input_processor import FeatureExtractorSpec, InputProcessor
from emo_fairseq.inference.running import LoadedModel
from emo_fairseq.state_schema import EncoderState, Modality, PortableState
from emo_fairseq.task_state import TaskOptions, TaskState
from emo_fairseq.types import FULL, LORA, MODALITIES

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

FORMAT = 1
CONFIG_FILE = "config.json"
ENSEMBLE_FILE = "ensemble.json"  # in place of it in a folder of several models
WEIGHTS_FILE = "model.safetensors"
# Graphs by the precision of their weights; large ones are in a file beside, whose name begins so.
FP32, FP16, INT8 = "fp32", "fp16", "int8"
GRAPH_FILES = {FP32: "model.onnx", FP16: "model.fp16.onnx", INT8: "model.int8.onnx"}
GRAPH_FILE = GRAPH_FILES[FP32]
DIALOGUE_GRAPH_FILE = "model.dialogue.onnx"  # that of a model of dialogues, which goes on from it
INTERFACE_FILE = "model.yaml"  # what goes into the graphs and comes out
FEATURES_FILE = "features_{}.safetensors"  # the encoder that a modality's features come from
CARD_FILE = "README.md"

_EXPORT_AGAIN = "export the checkpoint again"
_COPY_AGAIN = f"copy the folder again, or {_EXPORT_AGAIN}"


# -- config.json -----------------------------------------------------------------------------------


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


# -- reading ---------------------------------------------------------------------------------------

_TOKENIZER_CONFIG = "tokenizer_config.json"  # of transformers
_ALLOW_LEAK = "allow_leak"
_ADDED_OPTIONS = {"_name", "rebuild_batches"}  # by fairseq and by the task
# What transformers would fetch or run if a configuration named it.
_RUNS_CODE = (
    "auto_map",
    "custom_generate",
    "trust_remote_code",
    "quantization_config",
    "use_pretrained_backbone",
)


def read_model_folder(folder: str | Path) -> LoadedModel:
    """Read a model folder.

    Raises:
        UsageError: a file is missing, damaged, or does not fit the others; names it.
    """
    from omegaconf.errors import OmegaConfBaseException

    from emo_fairseq.compat.size_limits import Stored
    from emo_fairseq.inference.loading import build_model
    from emo_fairseq.pretrained.weights import read_tensors

    folder = Path(folder)
    config = read_config(folder)
    file = folder / CONFIG_FILE
    _check_options(file, config)
    verify_folder(folder, read_json(file))
    tensors = read_tensors(folder / WEIGHTS_FILE)
    try:
        state = TaskState.from_state(config.task, config.state.model_dump(exclude_unset=True))
        model = build_model(config.model, state, Stored.of(tensors), str(file), _EXPORT_AGAIN)
    except UsageError as error:
        if str(folder) in str(error):
            raise
        raise UsageError(f"{file}: {error}", error.code) from error
    except (  # what wrong options and states raise while a model is built
        OmegaConfBaseException,
        AttributeError,
        AssertionError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise UsageError(
            f"{file}: describes no model that can be built ({type(error).__name__}: "
            f"{_reason(error)}); {_EXPORT_AGAIN}",
            "model-config-invalid",
        ) from error
    try:
        model.load_state_dict(tensors)
    except UsageError as error:
        if str(folder) in str(error):
            raise
        raise UsageError(f"{folder / WEIGHTS_FILE}: {error}", error.code) from error
    return LoadedModel(state, model, read_processor(folder, config.front_end))


def _reason(error: Exception) -> str:
    """Return the first line of a message, and the option that omegaconf names in a later one."""
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
            "`emotion-recognize export CHECKPOINT --output FOLDER`",
            "model-folder-missing",
        )
    content = read_json(file)
    if content.get("format") != FORMAT:
        raise UsageError(
            f"{file}: of format {content.get('format')}, where this version reads {FORMAT}; use "
            "the emo_fairseq that wrote it, or export the checkpoint again",
            "format-unknown",
        )
    try:
        config = validate(content, FolderConfig, name=file, remedy=_EXPORT_AGAIN)
    except ManifestError as error:
        raise UsageError(str(error), error.code) from error
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
    try:
        content = load_json(file, JsonObject, remedy=_EXPORT_AGAIN)
    except ManifestError as error:
        raise UsageError(str(error), error.code) from error
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
        check_sizes(options, f"{file}: {part}.", _EXPORT_AGAIN)
    for modality, encoder in config.state.encoders.items():
        where = f"{file}: state.encoders.{modality}.architecture."
        check_sizes(encoder.architecture, where, _EXPORT_AGAIN)


def _check_options(file: Path, config: FolderConfig) -> None:
    """Refuse options that do not exist."""
    from emo_fairseq.models.config import RobertaEMOConfig

    encoders = {f"{modality}_encoder" for modality in MODALITIES}
    of_task = {*TaskOptions.model_fields, *encoders, _ALLOW_LEAK}
    of_model = {field.name for field in fields(RobertaEMOConfig)}
    for part, options, known in (("task", config.task, of_task), ("model", config.model, of_model)):
        if unknown := sorted(options.keys() - known - _ADDED_OPTIONS):
            raise UsageError(
                f"{file}: {part}.{unknown[0]} is an unknown option of emo_fairseq "
                f"{emo_fairseq.__version__}, and {config.emo_fairseq} wrote the folder; "
                f"{_EXPORT_AGAIN}",
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


def read_processor(
    folder: Path, config: ProcessorConfig, without: Collection[str] = ()
) -> InputProcessor:
    """Return the tokenizers and feature extractors of a model folder.

    Args:
        folder: the model folder.
        config: of the folder.
        without: modalities whose features a graph computes.

    Raises:
        UsageError: a file of theirs is missing or damaged.
    """
    extractors = {}
    for modality, features in config.features.items():
        if modality in without:
            continue
        encoder = None if features.card is None else EncoderSpec(**features.card.model_dump())
        weights = None if encoder is None else _read_weights(folder, modality)
        tokenizer = _check_tokenizer(folder / modality) if features.reads_tokens else None
        extractors[modality] = FeatureExtractorSpec(features.settings, encoder, weights, tokenizer)
    tokenizers = {name: _check_tokenizer(folder / name) for name in config.tokenizers}
    return InputProcessor(tokenizers, extractors, config.missing, config.cleans_text)


def _read_weights(folder: Path, modality: str) -> "Mapping[str, Tensor]":
    """Return the weights of the encoder that a modality's features come from."""
    from emo_fairseq.pretrained.weights import read_tensors

    return read_tensors(folder / FEATURES_FILE.format(modality))


def _check_tokenizer(folder: Path) -> Path:
    """Return a folder that holds a tokenizer, of which nothing is read from elsewhere."""
    if not (folder / TOKENIZER_FILE).is_file():
        raise UsageError(
            f"{folder / TOKENIZER_FILE}: is missing; {_EXPORT_AGAIN}", "tokenizer-missing"
        )
    if (settings := folder / _TOKENIZER_CONFIG).is_file():
        read_json(settings)
    note = folder / PATH_FILE
    if note.is_file():
        name = note.read_text(encoding="utf-8").strip()
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise UsageError(
                f"{note}: names {name}, and not a file beside it; {_EXPORT_AGAIN}",
                "weights-elsewhere",
            )
    return folder


# -- writing ---------------------------------------------------------------------------------------

# Of the state in a checkpoint.
_KEPT_STATE = (
    "labels",
    "class_counts",
    "auxiliary_labels",
    "frame_statistics",
    "normalize_by",
    "corpus",
    "fold",
    "provenance",
)
_QUANTIZER_FILE = "vq-wav2vec.safetensors"


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
        merge_lora: merge LoRA's updates into the weights.
        finish: is given the new folder before it replaces the old one, and may write a card into
            it.

    Returns:
        `out`.

    Raises:
        UsageError: no checkpoint of this task, tokenizers of another model, `out` holds other
            things, or there is no LoRA to merge.
    """
    from emo_fairseq.inference.loading import (
        build_checkpoint_model,
        find_processor,
        read_checkpoint,
    )
    from emo_fairseq.models.build import plain
    from emo_fairseq.pretrained.weights import write_tensors

    checkpoint, out = Path(checkpoint), Path(out)
    if out.exists() and not (out.is_dir() and _is_replaceable(out)):
        raise UsageError(
            f"{out}: holds other things than a model; give another folder", "folder-not-empty"
        )
    saved = read_checkpoint(checkpoint)
    state, model = build_checkpoint_model(saved, checkpoint)
    processor = find_processor(saved, state, None if data is None else Path(data))
    model.leave_out(())
    tensors: dict[str, Any] = model.state_dict()
    model_options = plain(saved["cfg"].model) | {"checkpoint_weights": "all"}
    if merge_lora:
        tensors, model_options = _merge_lora(checkpoint, tensors, model_options)
    config = {
        "format": FORMAT,
        "emo_fairseq": emo_fairseq.__version__,
        "task": _task_options(plain(saved["cfg"].task), state),
        "model": model_options,
        "state": _portable_state(saved.get("task_state", {})),
        "front_end": _processor_config(processor),
    }
    text = json.dumps(config, indent=1, ensure_ascii=False, allow_nan=False)
    with replace_folder(out) as folder:
        _write_processor(processor, folder)
        write_tensors(folder / WEIGHTS_FILE, tensors)
        (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
        seal(folder)
        if finish is not None:
            finish(folder)
    for modality, reason in processor.missing.items():
        logger.warning("%s: cannot predict from %s, it lacks %s", out, modality, reason)
    return out


def _is_replaceable(folder: Path) -> bool:
    """Return whether a folder is empty, a model folder, or one whose writing was cut short."""
    if (folder / UNFINISHED).exists() or not any(folder.iterdir()):
        return True
    try:
        config = load_json(folder / CONFIG_FILE, JsonObject, remedy="")
    except ManifestError:
        return False
    return {"format", "front_end"} <= config.keys()


def _merge_lora(
    checkpoint: Path, tensors: "Mapping[str, Tensor]", options: Mapping[str, Any]
) -> "tuple[dict[str, Tensor], dict[str, Any]]":
    from emo_fairseq.modules.lora import is_adapter, merged_state_dict

    if not any(map(is_adapter, tensors)):
        raise UsageError(
            f"{checkpoint}: no encoder has LoRA; there is nothing to merge", "lora-missing"
        )
    merged = dict(options)
    for modality in MODALITIES:
        if str(options.get(f"{modality}_tuning")) == LORA:
            merged[f"{modality}_tuning"] = FULL
    return merged_state_dict(tensors), merged


def _task_options(options: Mapping[str, Any], state: TaskState) -> dict[str, Any]:
    """Select the task's options that act after the training, without the folders of encoders."""
    specs = {name: options.get(f"{name}_encoder") for name in state.modalities}
    return {
        **state.options.model_dump(),
        _ALLOW_LEAK: bool(options.get(_ALLOW_LEAK)),  # fairseq-validate checks for leaks again
        **{f"{name}_encoder": portable_spec(spec) for name, spec in specs.items() if spec},
    }


def portable_spec(spec: str) -> str:
    """Return an encoder's spec without the folders of its path, or with its name on the hub.

    >>> portable_spec("hf:/home/me/models/mpnet"), portable_spec("features:wavlm")
    ('hf:mpnet', 'features:wavlm')
    >>> portable_spec("hf:microsoft/wavlm-base@main")
    'hf:microsoft/wavlm-base@main'
    """
    kind, _, path = spec.partition(":")
    is_on_hub = kind == "hf" and not Path(path).exists() and parse_hub_name(path) is not None
    return f"{kind}:{Path(path).name}" if kind in PRETRAINED and not is_on_hub else spec


def _portable_encoder(encoder: EncoderSpec) -> dict[str, Any]:
    return replace(encoder, spec=portable_spec(encoder.spec)).to_state()


def _portable_state(task_state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's state as plain values without paths."""
    state = {name: task_state[name] for name in _KEPT_STATE if name in task_state}
    state["encoders"] = {
        name: _portable_encoder(EncoderSpec(**encoder))
        for name, encoder in task_state.get("encoders", {}).items()
    }
    state["vocabulary"] = {
        name: {**entry, "source": f"{name}/{Path(str(entry['source'])).name}"}
        for name, entry in task_state.get("vocabulary", {}).items()
    }
    if prototypes := task_state.get("prototypes"):  # for readers, the model does not use them
        state["prototypes"] = {str(name): _to_plain(value) for name, value in prototypes.items()}
    return state


def _to_plain(value: Any) -> Any:
    """Return tensors as nested lists; NaN, a class without prototype, as None."""
    if hasattr(value, "tolist"):
        return _to_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_to_plain(part) for part in value]
    if isinstance(value, dict):
        return {str(name): _to_plain(part) for name, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _processor_config(processor: InputProcessor) -> dict[str, Any]:
    return {
        "tokenizers": list(processor.tokenizers),
        "missing": dict(processor.missing),
        "cleans_text": processor.normalizes_text,
        "features": {
            modality: {
                "settings": dict(spec.settings),
                "card": None if spec.encoder is None else _portable_encoder(spec.encoder),
                "reads_tokens": spec.tokenizer is not None,
            }
            for modality, spec in processor.extractors.items()
        },
    }


def _write_processor(processor: InputProcessor, out: Path) -> None:
    from emo_fairseq.pretrained.weights import write_tensors

    tokenizers = dict(processor.tokenizers)
    for modality, spec in processor.extractors.items():
        if spec.weights is not None:
            write_tensors(out / FEATURES_FILE.format(modality), spec.weights)
        if spec.tokenizer is not None:
            tokenizers[modality] = spec.tokenizer
    for modality, folder in tokenizers.items():
        try:
            copy_tokenizer(folder, out / modality)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{folder}: the tokenizer cannot be copied to {out / modality}: {sentence(error)}",
                "tokenizer-unreadable",
            ) from error


def copy_tokenizer(folder: Path, out: Path) -> None:
    """Copy a tokenizer's own files out of a token folder; the tokens stay behind.

    A quantizer that tokens come from, which a token folder only points at, is put there too, its
    weights alone.

    Args:
        folder: ``text/NAME`` or ``speech/NAME`` of a data dir.
        out: the folder that is to hold the files.

    Raises:
        ValueError: the quantizer's checkpoint is gone, or is another one.
    """
    card = read_card(folder)
    out.mkdir(parents=True, exist_ok=True)
    for name in card["files"]:
        (out / name).write_bytes((folder / name).read_bytes())
    settings = dict(card["settings"])
    if (folder / PATH_FILE).is_file():
        from data_prep.tokens.vq_wav2vec import find_checkpoint
        from emo_fairseq.pretrained.fairseq_vq import write_quantizer

        checkpoint = find_checkpoint(folder, settings["checkpoint"])
        write_quantizer(checkpoint, out / _QUANTIZER_FILE)
        (out / PATH_FILE).write_text(f"{_QUANTIZER_FILE}\n", encoding="utf-8")
        settings["checkpoint"] = file_digest(out / _QUANTIZER_FILE)
    text = dump_yaml({**card, "settings": settings, "splits": {}})
    (out / TOKENIZER_FILE).write_text(text, encoding="utf-8")


# -- replacing a model folder ----------------------------------------------------------------------


def is_ensemble(folder: Path) -> bool:
    """Return whether a folder holds an ensemble."""
    return (folder / ENSEMBLE_FILE).is_file()


_INDEXES = (CONFIG_FILE, ENSEMBLE_FILE)  # without which nothing is read of a folder
UNFINISHED = ".unfinished"  # in the folder, so that moving out of it is renaming


@contextlib.contextmanager
def replace_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder, whose contents replace the model in `out` at the end.

    If anything is raised, `out` stays as it was, or is not made. What is in it and of no model
    stays, too. A run that is killed while the files are moved leaves no ``config.json``, so that
    nobody takes what is there for a model.
    """
    new = out / UNFINISHED
    existed, was_cut_short = out.exists(), new.exists()
    _remove(new)
    new.mkdir(parents=True)
    try:
        yield new
    except BaseException:
        shutil.rmtree(new if existed else out, ignore_errors=True)
        if was_cut_short:
            new.mkdir()  # it still is
        raise
    _remove_model(out)
    written = sorted(new.iterdir(), key=lambda file: file.name in _INDEXES)  # that one last
    for file in written:
        _remove(out / file.name)
        file.rename(out / file.name)
    new.rmdir()


def _remove_model(out: Path) -> None:
    for name in _INDEXES:
        (out / name).unlink(missing_ok=True)  # from here on this is no model folder
    for stale in (out / CARD_FILE, out / INTERFACE_FILE, *out.glob("model.*onnx*")):
        if stale.name in (CARD_FILE, INTERFACE_FILE) or _is_of_graph(stale.name):
            stale.unlink(missing_ok=True)
    for modality in MODALITIES:
        (out / FEATURES_FILE.format(modality)).unlink(missing_ok=True)
        if (out / modality / TOKENIZER_FILE).is_file():
            _remove(out / modality)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# -- records ---------------------------------------------------------------------------------------


def seal(folder: Path) -> None:
    """Write the records of all files of a complete model folder into its ``config.json``."""
    file = folder / CONFIG_FILE
    content: dict[str, Any] = load_json(file, JsonObject, remedy=_COPY_AGAIN)
    content["files"] = records_of(folder, _recorded_files(folder))
    content["digest"] = _digest(content)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    with replacing(file) as part:
        part.write_text(f"{text}\n", encoding="utf-8")


def verify_folder(folder: Path, content: Mapping[str, Any], reads_weights: bool = True) -> None:
    """Compare a model folder with its records; those of the graph are :func:`verify_graph`'s.

    Args:
        folder: the model folder.
        content: of its ``config.json``.
        reads_weights: whether ``model.safetensors`` is read, and not a graph in place of it.

    Raises:
        UsageError: a file is missing, damaged or exchanged, or one has come to the tokenizers;
            names it.
    """
    file = folder / CONFIG_FILE
    if "digest" not in content:
        warn_unverified(file, f"{_EXPORT_AGAIN}, which adds it")
        return
    if content["digest"] != _digest(content):
        raise UsageError(
            f"{file}: was changed since it was exported; {_COPY_AGAIN}", "file-changed"
        )
    records: Records = content["files"]
    left_out = set() if reads_weights else {WEIGHTS_FILE}
    read = {n: x for n, x in records.items() if not _is_of_graph(n) and n not in left_out}
    _verify_files(folder, read)
    added = [name for name in _recorded_files(folder) if "/" in name and name not in records]
    folders = {name.partition("/")[0] for name in records if "/" in name}
    if strange := [name for name in added if name.partition("/")[0] in folders]:
        raise UsageError(
            f"{folder / strange[0]}: is not of the export, and a tokenizer may read it; remove it, "
            f"or {_COPY_AGAIN}",
            "file-unknown",
        )


def verify_graph(
    folder: Path,
    records: Mapping[str, Mapping[str, Any]],
    reads_dialogues: bool = False,
    graph: str = GRAPH_FILE,
) -> None:
    """Compare a graph of a model folder, or both of a model of dialogues, with its records.

    Args:
        folder: the model folder.
        records: of its ``config.json``; empty where an older version wrote it.
        reads_dialogues: whether there are two.
        graph: name of the file of the graph, or of the first one.

    Raises:
        UsageError: the graph is not the one that was exported into this folder.
    """
    names = [graph, dialogue_graph(Path(graph)).name] if reads_dialogues else [graph]
    for name in names:
        if records and name not in records:
            raise UsageError(
                f"{folder / name}: {folder / CONFIG_FILE} has no record of it, so it is of "
                "another model; export the checkpoint again with --onnx",
                "graph-other",
            )
    of_graph = {name: x for name, x in records.items() if name.startswith(tuple(names))}
    _verify_files(folder, of_graph)


def _verify_files(folder: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
    try:
        for name, record in records.items():
            verify(folder / name, record, _COPY_AGAIN)
    except ValueError as error:
        raise UsageError(str(error), "file-changed") from error


def _recorded_files(folder: Path) -> list[str]:
    """Return all files but ``config.json``, the card and hidden ones, by path in the folder."""
    paths = [file.relative_to(folder) for file in folder.rglob("*") if file.is_file()]
    return sorted(
        path.as_posix()
        for path in paths
        if str(path) not in (CONFIG_FILE, CARD_FILE)
        and not any(part.startswith(".") for part in path.parts)
    )


def dialogue_graph(file: Path) -> Path:
    """Return the file of the second graph of a model of dialogues.

    >>> dialogue_graph(Path("model.onnx")).name, dialogue_graph(Path("model.int8.onnx")).name
    ('model.dialogue.onnx', 'model.int8.dialogue.onnx')
    """
    return file.with_name(f"{file.stem}.dialogue{file.suffix}")


_GRAPH_NAMES = tuple(
    name for file in GRAPH_FILES.values() for name in (file, dialogue_graph(Path(file)).name)
)


def _is_of_graph(name: str) -> bool:
    return name.startswith(_GRAPH_NAMES)


def _digest(content: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in content.items() if name != "digest"}
    text = json.dumps(rest, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
