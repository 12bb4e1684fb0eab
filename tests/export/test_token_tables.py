"""Tables of token embeddings as int8: the rows that are looked up are about the same."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from emo_fairseq.export.token_tables import quantize_token_tables

VOCABULARY, WIDTH = 50, 6


@pytest.fixture
def table() -> np.ndarray:
    """Rows of very different sizes; one is 0."""
    generator = np.random.default_rng(0)
    table = generator.standard_normal((VOCABULARY, WIDTH)) * np.logspace(-4, 1, VOCABULARY)[:, None]
    table[3] = 0.0
    return table.astype(np.float32)


def lookup(table: np.ndarray, *further: Any) -> Any:
    """A graph that looks rows up by an input, and a position by a number that it computes."""
    ids = helper.make_tensor_value_info("text.tokens", TensorProto.INT64, ["batch", "length"])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", "length", WIDTH])
    nodes = [helper.make_node("Gather", ["table", "text.tokens"], ["rows"], "lookup")]
    nodes += [*further, helper.make_node("Identity", ["rows"], ["out"])]
    graph = helper.make_graph(nodes, "g", [ids], [out], [numpy_helper.from_array(table, "table")])
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9)


def run(model: Any, ids: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(model)
    (out,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"text.tokens": ids})
    return np.asarray(out)


def test_a_row_differs_by_a_share_of_its_own_largest_value(table: np.ndarray) -> None:
    model = lookup(table)
    quantize_token_tables(model)
    types = {x.name: x.data_type for x in model.graph.initializer}
    assert types == {"table_quantized": TensorProto.INT8, "table_scale": TensorProto.FLOAT}
    ids = np.arange(VOCABULARY).reshape(2, -1)
    found = run(model, ids).reshape(VOCABULARY, WIDTH)
    largest = np.abs(table).max(axis=1, keepdims=True)
    assert (np.abs(found - table) <= largest / 254 * 1.001).all()
    assert np.abs(found - table).max() > 0
    assert not found[3].any()


def test_a_table_that_something_else_reads_stays(table: np.ndarray) -> None:
    model = lookup(table, helper.make_node("Transpose", ["table"], ["turned"]))
    before = model.SerializeToString()
    quantize_token_tables(model)
    assert model.SerializeToString() == before


def test_rows_of_computed_numbers_stay(table: np.ndarray) -> None:
    """Such as positions."""
    model = lookup(table)
    model.graph.node.insert(0, helper.make_node("Neg", ["text.tokens"], ["numbers"]))
    model.graph.node[1].input[1] = "numbers"
    before = model.SerializeToString()
    quantize_token_tables(model)
    assert model.SerializeToString() == before
