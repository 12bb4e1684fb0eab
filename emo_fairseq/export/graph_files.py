"""Write graphs: one file, or two where the weights are large."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emo_fairseq.inference.onnx_model import load_library

ONE_FILE = 1_900_000_000  # bytes; protobuf allows 2 GiB, weights and graph together
EXTERNAL = ".data"  # ending of the file that the weights of a larger model are written to


def save_graph(model: Any, file: Path, metadata: Mapping[str, str]) -> None:
    """Write a `ModelProto` with its metadata, and weights of more than 2 GB in a file beside it."""
    onnx = load_library("onnx")
    onnx.helper.set_model_props(model, dict(metadata))
    if sum(len(tensor.raw_data) for tensor in model.graph.initializer) <= ONE_FILE:
        onnx.save_model(model, str(file))
        return
    weights = f"{file.name}{EXTERNAL}"
    onnx.save_model(model, str(file), save_as_external_data=True, location=weights)


def is_large(graph: Path) -> bool:
    """Return whether the weights of a graph that was written are in a file beside it."""
    return graph.with_name(f"{graph.name}{EXTERNAL}").is_file()


def metadata_of(model: Any) -> dict[str, str]:
    """Return the ``metadata_props`` of a graph, a `ModelProto`."""
    return {entry.key: entry.value for entry in model.metadata_props}
