"""Open the graph of a model folder: all of the folder but ``model.safetensors`` is read."""

import json
from pathlib import Path
from typing import Any

from data_prep.files.digests import digest_once
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.engine import ModelEngine
from emo_fairseq.inference.model_folder.config import (
    FolderConfig,
    read_config,
    read_json,
    read_state,
)
from emo_fairseq.inference.model_folder.files import CONFIG_FILE, FP32, GRAPH_FILES, WEIGHTS_FILE
from emo_fairseq.inference.model_folder.reading import read_processor
from emo_fairseq.inference.model_folder.records import verify_folder, verify_graph
from emo_fairseq.inference.onnx_model import OnnxModel
from emo_fairseq.inference.providers import CPU
from emo_fairseq.task_state import TaskState

# Keys of the graph's metadata: the model that it was exported from, and its outputs.
WEIGHTS_KEY, LABELS_KEY, AXES_KEY = "weights_sha256", "labels", "axes"


def read_graph_folder(
    folder: str | Path, precision: str | None = None, provider: str = CPU
) -> ModelEngine:
    """Open a model folder that has a graph, and return the engine that runs it.

    Args:
        folder: the model folder.
        precision: a key of :data:`emo_fairseq.inference.model_folder.files.GRAPH_FILES`; None:
            ``fp32``, or the only one that there is.
        provider: that runs it; see :data:`emo_fairseq.inference.providers.PROVIDERS`.

    Raises:
        UsageError: there is none, it is damaged, it is of other weights than the folder's, or the
            provider is not there.
    """
    folder = Path(folder)
    config = read_config(folder)
    file = _choose_graph(folder, precision)
    verify_folder(folder, read_json(folder / CONFIG_FILE), reads_weights=False)
    state = read_state(folder, config)
    verify_graph(
        folder, config.model_dump()["files"], state.options.has_dialogue_encoder, file.name
    )
    settings = {name: x.settings for name, x in config.front_end.features.items()}
    model = OnnxModel(file, state, _modality_dropout(config), provider=provider, settings=settings)
    _check_metadata(folder, config, state, model)
    processor = read_processor(folder, config.front_end, without=model.inside)
    return ModelEngine(model.state, processor, model)


def _choose_graph(folder: Path, precision: str | None) -> Path:
    if precision is not None and precision not in GRAPH_FILES:
        raise UsageError(
            f"precision {precision}: is unknown; give one of {', '.join(GRAPH_FILES)}",
            "precision-unknown",
        )
    exported = [name for name, file in GRAPH_FILES.items() if (folder / file).is_file()]
    chosen = precision or (exported[0] if len(exported) == 1 else FP32)
    if chosen not in exported:
        has = f"has graphs of {', '.join(exported)}" if exported else "has no graph"
        option = "--onnx" if chosen == FP32 else f"--onnx --onnx-precision {chosen}"
        raise UsageError(
            f"{folder / GRAPH_FILES[chosen]}: there is no such file, the folder {has}; make it "
            f"with `emotion-recognize export CHECKPOINT --output {folder} {option}`",
            "graph-missing",
        )
    return folder / GRAPH_FILES[chosen]


def _modality_dropout(config: FolderConfig) -> float:
    value = config.model.get("modality_dropout")
    return float(value) if isinstance(value, int | float) else 0.0


def _check_metadata(folder: Path, config: FolderConfig, state: TaskState, model: OnnxModel) -> None:
    file = model.file
    digest, labels = _weights_digest(folder, config), json.dumps(list(state.labels))
    for metadata in model.metadata:
        if digest is not None and metadata.get(WEIGHTS_KEY) != digest:
            raise UsageError(
                f"{file}: was exported from other weights than {folder / WEIGHTS_FILE}; export "
                "it again",
                "graph-other",
            )
        if metadata.get(LABELS_KEY, metadata.get(AXES_KEY, labels)) != labels:
            raise UsageError(
                f"{file}: was exported with other labels; export it again", "graph-other"
            )


def _weights_digest(folder: Path, config: FolderConfig) -> str | None:
    """Return the SHA-256 of the folder's weights by its records; None without records."""
    record: Any = config.model_dump()["files"].get(WEIGHTS_FILE)
    if record is not None:
        return str(record["sha256"])
    file = folder / WEIGHTS_FILE
    return digest_once(file) if file.is_file() else None
