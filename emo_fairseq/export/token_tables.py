"""Tables of token embeddings as int8, with a scale for each row.

onnxruntime quantizes a whole table by one scale, that of its largest value. By row the error of a
value is at most 1/254 of the largest value of its own row, and a lookup computes one product more.
"""

from collections import Counter
from typing import Any

import numpy as np

from emo_fairseq.inference.onnx_model import load_library

_LARGEST = 127


def quantize_token_tables(model: Any) -> None:
    """Store as int8 every table that an input of the graph is looked up in, in place."""
    graph = model.graph
    tables = {tensor.name: tensor for tensor in graph.initializer}
    n_uses = Counter(name for node in graph.node for name in node.input)
    inputs = {value.name for value in graph.input}
    for index, node in reversed(list(enumerate(graph.node))):
        if not _is_lookup(node, inputs) or not _is_table(tables.get(node.input[0]), n_uses):
            continue
        nodes = _lookup_by_row(node, tables[node.input[0]], graph)
        del graph.node[index]
        for new in reversed(nodes):
            graph.node.insert(index, new)


def _is_lookup(node: Any, inputs: set[str]) -> bool:
    along_rows = all(x.i == 0 for x in node.attribute if x.name == "axis")
    return node.op_type == "Gather" and along_rows and node.input[1] in inputs


def _is_table(tensor: Any, n_uses: Counter[str]) -> bool:
    """Whether a tensor is a table of floats that nothing else reads."""
    float32 = load_library("onnx").TensorProto.FLOAT
    if tensor is None or tensor.data_type != float32:
        return False
    return len(tensor.dims) == 2 and n_uses[tensor.name] == 1


def _lookup_by_row(node: Any, table: Any, graph: Any) -> list[Any]:
    """Replace a table (V, C) in the graph; return the nodes that look rows up in the new one."""
    onnx = load_library("onnx")
    numbers, scales = quantize_rows(onnx.numpy_helper.to_array(table))
    names = [f"{table.name}_quantized", f"{table.name}_scale"]
    graph.initializer.remove(table)
    graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name)
        for array, name in zip((numbers, scales), names, strict=True)
    )
    (out,) = node.output
    rows, cast, scale = (f"{out}_{part}" for part in ("rows", "cast", "scale"))
    make = onnx.helper.make_node
    nodes = [
        make("Gather", [names[0], node.input[1]], [rows], f"{node.name}_rows"),
        make("Cast", [rows], [cast], f"{node.name}_cast", to=onnx.TensorProto.FLOAT),
        make("Gather", [names[1], node.input[1]], [scale], f"{node.name}_scale"),
        make("Mul", [cast, scale], [out], f"{node.name}_product"),
    ]
    for new in nodes:
        new.metadata_props.extend(node.metadata_props)
    return nodes


def quantize_rows(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return int8 numbers (V, C) and float32 scales (V, 1) of a table; their product is about it.

    >>> numbers, scales = quantize_rows(np.array([[127.0, -2.2], [0.0, 0.0]], np.float32))
    >>> numbers.tolist(), scales.tolist()
    ([[127, -2], [0, 0]], [[1.0], [1.0]])
    """
    largest = np.abs(table).max(axis=1, keepdims=True)
    scales = np.where(largest > 0, largest / _LARGEST, 1.0).astype(np.float32)
    return np.rint(table / scales).astype(np.int8), scales
