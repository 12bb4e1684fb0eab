"""The files of a model folder, by name."""

from pathlib import Path

CONFIG_FILE = "config.json"
ENSEMBLE_FILE = "ensemble.json"  # in place of it in a folder of several models
WEIGHTS_FILE = "model.safetensors"
# Graphs by the precision of their weights; large ones are in a file beside, whose name begins so.
FP32, FP16, INT8 = "fp32", "fp16", "int8"
GRAPH_FILES = {FP32: "model.onnx", FP16: "model.fp16.onnx", INT8: "model.int8.onnx"}
GRAPH_FILE = GRAPH_FILES[FP32]
INTERFACE_FILE = "model.yaml"  # what goes into the graphs and comes out
FEATURES_FILE = "features_{}.safetensors"  # the encoder that a modality's features come from
CARD_FILE = "README.md"

EXPORT_AGAIN = "export the checkpoint again"
COPY_AGAIN = f"copy the folder again, or {EXPORT_AGAIN}"


def is_model_folder(path: Path) -> bool:
    """Return whether a path is a model folder of ``emotion-recognize export``.

    It has weights or a graph: what predicts from the graph needs no weights.
    """
    has_model = any((path / name).is_file() for name in (WEIGHTS_FILE, *GRAPH_FILES.values()))
    return has_model and (path / CONFIG_FILE).is_file()


def is_ensemble(folder: Path) -> bool:
    """Return whether a folder holds an ensemble."""
    return (folder / ENSEMBLE_FILE).is_file()


def dialogue_graph(file: Path) -> Path:
    """Return the file of the second graph of a model of dialogues.

    >>> dialogue_graph(Path("model.onnx")).name, dialogue_graph(Path("model.int8.onnx")).name
    ('model.dialogue.onnx', 'model.int8.dialogue.onnx')
    """
    return file.with_name(f"{file.stem}.dialogue{file.suffix}")


_GRAPH_NAMES = tuple(
    name for file in GRAPH_FILES.values() for name in (file, dialogue_graph(Path(file)).name)
)


def is_of_graph(name: str) -> bool:
    """Return whether a file is a graph, or the weights of one."""
    return name.startswith(_GRAPH_NAMES)
