"""Open the graph of a model folder: all of the folder but ``model.safetensors`` is read."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from data_prep.files.digests import digest_once
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.input_processor import InputProcessor
from emo_fairseq.inference.model_folder import (
    CONFIG_FILE,
    GRAPH_FILE,
    WEIGHTS_FILE,
    FolderConfig,
    read_config,
    read_json,
    read_processor,
    read_state,
    verify_folder,
    verify_graph,
)
from emo_fairseq.inference.onnx_model import OnnxModel, reads_dialogues
from emo_fairseq.task_state import TaskState

# Keys of the graph's metadata: the model that it was exported from, and its outputs.
WEIGHTS_KEY, LABELS_KEY = "weights_sha256", "labels"


class LoadedGraph(NamedTuple):
    """A graph and what is needed to run it.

    Attributes:
        state: what the model reads and predicts.
        model: runs.
        processor: its tokenizers and feature extractors.
    """

    state: TaskState
    model: OnnxModel
    processor: InputProcessor


def read_graph_folder(folder: str | Path) -> LoadedGraph:
    """Open a model folder that has a ``model.onnx``.

    Raises:
        UsageError: there is none, it is damaged, or it is of other weights than the folder's.
    """
    folder = Path(folder)
    config = read_config(folder)
    file = folder / GRAPH_FILE
    if not file.is_file():
        raise UsageError(
            f"{file}: there is no such file; make it with `emotion-recognize export CHECKPOINT "
            f"--output {folder} --onnx`",
            "graph-missing",
        )
    verify_folder(folder, read_json(folder / CONFIG_FILE), reads_weights=False)
    state = read_state(folder, config)
    verify_graph(folder, config.model_dump()["files"], reads_dialogues(state))
    model = OnnxModel(file, state, _modality_dropout(config))
    _check_metadata(folder, config, state, model)
    return LoadedGraph(state, model, read_processor(folder, config.front_end))


def _modality_dropout(config: FolderConfig) -> float:
    value = config.model.get("modality_dropout")
    return float(value) if isinstance(value, int | float) else 0.0


def _check_metadata(folder: Path, config: FolderConfig, state: TaskState, model: OnnxModel) -> None:
    file = folder / GRAPH_FILE
    digest, labels = _weights_digest(folder, config), json.dumps(list(state.labels))
    for metadata in model.metadata:
        if digest is not None and metadata.get(WEIGHTS_KEY) != digest:
            raise UsageError(
                f"{file}: was exported from other weights than {folder / WEIGHTS_FILE}; export "
                "it again",
                "graph-other",
            )
        if metadata.get(LABELS_KEY, labels) != labels:
            raise UsageError(
                f"{file}: was exported with other labels; export it again", "graph-other"
            )


def _weights_digest(folder: Path, config: FolderConfig) -> str | None:
    """Return the SHA-256 of the folder's weights by its records; None where nothing tells."""
    record: Any = config.model_dump()["files"].get(WEIGHTS_FILE)
    if record is not None:
        return str(record["sha256"])
    file = folder / WEIGHTS_FILE
    return digest_once(file) if file.is_file() else None
