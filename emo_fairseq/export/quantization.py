"""Smaller and faster graphs: int8 by onnxruntime's quantization, and fp16.

Of int8, weights of matrix products are quantized per output channel, and embeddings of tokens per
row (:mod:`emo_fairseq.export.token_tables`). Activations are quantized by the range of each input
as it comes (dynamic), or by ranges that were measured on rows of the train split (static), which
saves measuring them and quantizes convolutions, too. Front ends, standardization and heads keep
single precision: they are a small part of the time and a large part of the error.
"""

import contextlib
import importlib
import logging
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from emo_fairseq.export.dynamo import scope_of
from emo_fairseq.export.graph_files import is_large, metadata_of, save_graph
from emo_fairseq.export.token_tables import quantize_token_tables
from emo_fairseq.inference.onnx_model import load_library

GraphInputs = Mapping[str, np.ndarray]  # by name

# Scopes of nodes: `frames` are log-mel frames, of a front end or of Whisper, and `mix` is a sum of
# layers, which may standardize them.
_KEPT = re.compile(r"/(frames|normalize|standardize|mix|head|auxiliary_heads\W\w+)/")
# Those of an encoder of samples, which normalize them: its convolutions, and its own nodes.
_OVER_SAMPLES = re.compile(r"/feature_extractor/|^/(model/)?speech/[^/]+$")
_PRODUCTS, _CONVOLUTION = ("MatMul", "Gemm"), "Conv"


def write_int8(graph: Path, out: Path, calibration: Iterable[GraphInputs] | None = None) -> None:
    """Write a graph with weights of int8.

    Args:
        graph: in single precision, of :func:`emo_fairseq.export.onnx.export_onnx`.
        out: the file to write.
        calibration: batches of inputs, for the ranges of activations; None: dynamic.
    """
    model = load_library("onnx").load(str(graph))
    float32 = load_library("onnx").TensorProto.FLOAT
    # A Gemm is replaced by a MatMul of this name before any is quantized.
    kept = [name for node in kept_nodes(model) for name in (node, f"{node}_MatMul")]
    with tempfile.TemporaryDirectory(dir=out.parent) as folder, _quantization() as quantization:
        unfinished = Path(folder) / out.name
        if calibration is None:
            quantization.quantize_dynamic(
                str(graph),
                str(unfinished),
                op_types_to_quantize=list(_PRODUCTS),
                per_channel=True,
                weight_type=quantization.QuantType.QInt8,
                nodes_to_exclude=kept,
                use_external_data_format=is_large(graph),
                extra_options={"DefaultTensorType": float32},
            )
        else:
            quantization.quantize_static(
                str(graph),
                str(unfinished),
                _Batches(calibration),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=[*_PRODUCTS, _CONVOLUTION],
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                nodes_to_exclude=kept,
                use_external_data_format=is_large(graph),
                extra_options={"DefaultTensorType": float32, "MatMulConstBOnly": True},
            )
        quantized = load_library("onnx").load(str(unfinished))
    quantize_token_tables(quantized)
    save_graph(quantized, out, metadata_of(model))


def write_fp16(graph: Path, out: Path) -> None:
    """Write a graph whose weights and arithmetic have half precision; inputs and outputs stay.

    What sums over samples keeps single precision: a second of them may exceed the largest number.
    """
    load_library("onnxruntime")
    converter = importlib.import_module("onnxruntime.transformers.float16")
    model = load_library("onnx").load(str(graph))
    metadata = metadata_of(model)
    of_samples = [n.name for n in model.graph.node if _OVER_SAMPLES.search(scope_of(n))]
    kept = [*kept_nodes(model), *of_samples]
    halved = converter.convert_float_to_float16(model, keep_io_types=True, node_block_list=kept)
    _join_casts(halved)
    save_graph(halved, out, metadata)


def _join_casts(model: Any) -> None:
    """Remove casts to half and back between two nodes of single precision, in place."""
    types = load_library("onnx").TensorProto
    casts = [(node, node.attribute[0].i) for node in model.graph.node if node.op_type == "Cast"]
    halved = {node.output[0]: node.input[0] for node, to in casts if to == types.FLOAT16}
    exact = {
        node.output[0]: halved[node.input[0]]
        for node, to in casts
        if to == types.FLOAT and node.input[0] in halved
    }
    for node in model.graph.node:
        for number, name in enumerate(node.input):
            node.input[number] = exact.get(name, name)


def kept_nodes(model: Any) -> list[str]:
    """Return the names of the nodes of a graph that keep single precision."""
    return [node.name for node in model.graph.node if _KEPT.search(scope_of(node))]


@contextlib.contextmanager
def _quantization() -> Iterator[Any]:
    """Yield onnxruntime's module, which writes a line for each node to the root logger."""
    load_library("onnxruntime")
    quantization = importlib.import_module("onnxruntime.quantization")
    root = logging.getLogger()
    root.addFilter(_is_of_others)
    try:
        yield quantization
    finally:
        root.removeFilter(_is_of_others)


def _is_of_others(record: logging.LogRecord) -> bool:
    return "onnxruntime" not in record.pathname


class _Batches:  # a CalibrationDataReader, which is imported with the library
    """Batches as onnxruntime's calibration reads them.

    Args:
        batches: by name of the input.
    """

    def __init__(self, batches: Iterable[GraphInputs]) -> None:
        self._batches: Iterator[GraphInputs] = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next batch; None after the last one."""
        batch = next(self._batches, None)
        return None if batch is None else dict(batch)
