"""The input side of a model of a mixed table: from raw columns to the features, in operations of ONNX.

An input for each feature, [batch, 1] or, of series, [batch, length, 1]: numbers and booleans as float32, NaN where they
are missing; categories as texts, "" where they are missing. What the network then gets is what `Columns.encode` gives;
a text that is no category is taken for a missing one.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from models.columns import Column, Columns
from models.inputs import INPUT, input_name

FEATURES = "columns/features"


def with_columns(core: Any, columns: Columns, is_series: bool) -> Any:
    """A model that takes encoded features at `input`, as one that takes raw columns."""
    from onnx import TensorProto, compose, helper  # noqa: PLC0415

    lead = ["batch", "length"] if is_series else ["batch"]
    inputs, parts = [], []
    nodes: list[Any] = []
    constants: list[Any] = []
    for index, column in enumerate(columns.inputs):
        kind = TensorProto.STRING if column.kind == "category" else TensorProto.FLOAT
        inputs.append(helper.make_tensor_value_info(input_name(column.name), kind, [*lead, 1]))
        steps = _category(column, index) if column.kind == "category" else _number(column, index)
        for step in steps:
            (constants if isinstance(step, TensorProto) else nodes).append(step)
        parts.append(nodes[-1].output[0])
    nodes.append(helper.make_node("Concat", parts, [FEATURES], axis=-1))
    output = helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, [*lead, columns.width])
    graph = helper.make_graph(nodes, "columns", inputs, [output], constants)
    before = helper.make_model(graph, opset_imports=core.opset_import, ir_version=core.ir_version)
    return compose.merge_models(before, core, io_map=[(FEATURES, INPUT)])


def _number(column: Column, index: int) -> Iterator[Any]:
    from onnx import helper, numpy_helper  # noqa: PLC0415

    name, at = input_name(column.name), f"columns/{index}"
    fill = np.float32(np.nan if column.fill is None else column.fill)
    yield numpy_helper.from_array(np.array(fill), f"{at}/fill")
    yield helper.make_node("IsNaN", [name], [f"{at}/missing"])
    yield helper.make_node("Where", [f"{at}/missing", f"{at}/fill", name], [f"{at}/value"])


def _category(column: Column, index: int) -> Iterator[Any]:
    """One output for each category; where values were missing in the data, one more, for whatever is none of them."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    name, at = input_name(column.name), f"columns/{index}"
    if not column.categories:
        # Of a column without a value in the data: whatever is given is missing.
        yield helper.make_node("Equal", [name, name], [f"{at}/any"])
        yield helper.make_node("Cast", [f"{at}/any"], [f"{at}/value"], to=TensorProto.FLOAT)
        return
    words = [word.encode() for word in column.categories]
    yield helper.make_tensor(f"{at}/words", TensorProto.STRING, [len(words)], words)  # type: ignore[arg-type]
    yield helper.make_node("Equal", [name, f"{at}/words"], [f"{at}/is"])
    yield helper.make_node("Cast", [f"{at}/is"], [f"{at}/known"], to=TensorProto.FLOAT)
    if column.missing:
        yield numpy_helper.from_array(np.array([-1], np.int64), f"{at}/axis")
        yield numpy_helper.from_array(np.array(1, np.float32), f"{at}/one")
        yield helper.make_node("ReduceSum", [f"{at}/known", f"{at}/axis"], [f"{at}/sum"], keepdims=1)
        yield helper.make_node("Sub", [f"{at}/one", f"{at}/sum"], [f"{at}/none"])
        yield helper.make_node("Concat", [f"{at}/known", f"{at}/none"], [f"{at}/value"], axis=-1)
