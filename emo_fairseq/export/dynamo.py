"""Export by torch.export, torch's newer exporter, which refuses branches on the content of tensors.

The older one records the operations on one batch, and stays the default:
``docs/how-to/portable_onnx.md`` has what either was run on.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emo_fairseq.errors import UsageError
from emo_fairseq.inference.onnx_model import load_library

TRACE, DYNAMO = EXPORTERS = ("trace", "dynamo")
OPSET = 18

_SCOPES = "pkg.torch.onnx.name_scopes"  # of a node, in its metadata


def export_by_dynamo(
    flat: nn.Module,
    example: Mapping[str, Tensor],
    outputs: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
    file: Path,
) -> None:
    """Write the graph of a model of positional tensors.

    Args:
        flat: the model; its outputs are a tuple.
        example: inputs by name, in their order.
        outputs: their names.
        axes: of each input and output the free dimensions, by number, and their names.
        file: to write.

    Raises:
        UsageError: torch.export refuses the model.
    """
    load_library("onnxscript")
    shapes = [dict.fromkeys(axes.get(name, {}), torch.export.Dim.DYNAMIC) for name in example]
    # The first parameter of a model of dialogues has a name; all others are variadic.
    n_named = flat.forward.__code__.co_argcount - 1
    named, variadic = tuple(shapes[:n_named]), tuple(shapes[n_named:])
    try:
        torch.onnx.export(
            flat,
            tuple(example.values()),
            str(file),
            input_names=list(example),
            dynamic_shapes=(*named, variadic),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    except torch.onnx.errors.OnnxExporterError as error:
        raise UsageError(
            f"torch.export refuses the model ({_reason(error)}); leave --onnx-exporter out",
            "onnx-unsupported",
        ) from error
    onnx = load_library("onnx")
    model = onnx.load(str(file))
    _name_outputs(model.graph, outputs)
    for value in (*model.graph.input, *model.graph.output):
        for number, name in axes.get(value.name, {}).items():
            value.type.tensor_type.shape.dim[number].dim_param = name
    onnx.save_model(model, str(file))


def _reason(error: Exception) -> str:
    """Return the first line of what torch.export raised."""
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {str(cause).strip().splitlines()[0]}"


def _name_outputs(graph: Any, names: Sequence[str]) -> None:
    """Rename the outputs of a graph; another value of the same name gets a new one."""
    new = {name: f"{name}.inner" for name in names}
    new |= {output.name: name for output, name in zip(graph.output, names, strict=True)}
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    for value in (*graph.output, *graph.value_info):
        value.name = new.get(value.name, value.name)


def scope_of(node: Any) -> str:
    """Return the modules that a node of a graph is in, as a path."""
    for entry in node.metadata_props:
        if entry.key == _SCOPES:
            names = entry.value.strip("[]").split(", ")
            return "/".join(name.strip("'") for name in names).replace(".", "/")
    return str(node.name)
