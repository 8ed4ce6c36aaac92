"""`model.onnx`: the deployed model for any runtime of ONNX, checked against torch before anybody gets it.

Input `input`, in the data's own units: float32 [batch, ...], or int64 [batch, length] for tokens. Output
`probabilities` [batch, (length,) classes], or `values` [batch, (length,) outputs]. The batch is of any size, and so is
the length where the network takes any.
Metadata: `classes task kind family`, and of texts `words`, of which the first is token 2.
A table with categories has an input for each column instead (`workers/export/column_inputs.py`).
"""

import io
import json
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.catalogue import DataShape
from models.columns import Column
from models.inputs import INPUT, OUTPUTS, Feeds, Inputs, has_categories
from models.shapes import same_weights
from models.words import Words
from workers.export.column_inputs import with_columns
from workers.training.model import Model

OPSET = 19
TIME_AXES = {"sequence": 1, "tokens": 1, "signal": 2}
"""Which axis of [rows, ...] may have any length, by the kind of data."""
TRACED_ROWS = 2
CHECKED = ((1, 0), (5, 0), (3, 3), (4, -1))
"""Rows, and steps more than the data have; other than those that were traced."""
TOLERANCE = 1e-5
"""Of the difference to torch, relative to the largest output."""
SEED = 0
MISSING_SHARE = 0.3


class ExportFailed(Exception):
    """The file does not compute what torch computes."""


@dataclass(frozen=True)
class Signature:
    """What goes in."""

    shape: DataShape
    time_axis: int | None
    """None: the length is fixed."""

    def sample(self, rows: int, more: int = 0) -> Tensor:
        """Random inputs; `more`: time steps beyond those of the data."""
        sizes = [rows, *self.shape.input_shape]
        if self.time_axis is not None:
            sizes[self.time_axis] += more
        random = torch.Generator().manual_seed(SEED)
        if self.shape.kind == "tokens":
            return torch.randint(self.shape.vocabulary, sizes, generator=random)
        return torch.randn(sizes, generator=random)


def onnx_file(model: Model, words: Words | None = None) -> bytes:
    """`words` are those of tokens that were texts.

    Raises:
        ExportFailed
    """
    signature = Signature(model.shape, time_axis(model))
    file = finished(exported(model, signature), model, words)
    check(model, signature, file)
    return file


def time_axis(model: Model) -> int | None:
    """The axis of the length, where the network has the same weights for another one."""
    axis = TIME_AXES.get(model.shape.kind)
    if axis is None:
        return None
    sizes = list(model.shape.input_shape)
    sizes[axis - 1] += max(extra for _, extra in CHECKED)
    longer = replace(model.shape, input_shape=tuple(sizes))
    return axis if same_weights(model.definition.network, model.shape, longer) else None


def exported(model: Model, signature: Signature) -> bytes:
    """As torch writes it."""
    axes = {0: "batch"} | ({signature.time_axis: "length"} if signature.time_axis else {})
    output = OUTPUTS[model.shape.task]
    out_axes = {0: "batch"} | ({1: "length"} if model.shape.per_step and signature.time_axis else {})
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter is deprecated for another that gets recurrent networks wrong; of what depends on the traced
        # sizes it warns whether that matters or not. `check` tells what does.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.deployed(),
            (_input(model, signature.sample(TRACED_ROWS)),),
            buffer,  # type: ignore[arg-type]  # the exporter of TorchScript takes one
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[output],
            dynamic_axes={INPUT: axes, output: out_axes},
        )
    return buffer.getvalue()


def _input(model: Model, sample: Tensor) -> Tensor:
    """Spread as the data are, in their own units."""
    if model.inputs is None:
        return sample
    offset, factor = (torch.from_numpy(value) for value in vars(model.inputs).values())
    return (sample.double() * factor + offset).float()


def finished(file: bytes, model: Model, words: Words | None) -> bytes:
    """With the inputs of a mixed table, and the metadata that a user of the file alone needs."""
    import onnx  # noqa: PLC0415

    proto, columns = onnx.load_from_string(file), model.definition.data.columns
    if columns is not None and has_categories(columns):
        proto = with_columns(proto, columns, is_series=model.shape.kind == "sequence")
    shape = model.shape
    metadata: dict[str, str] = {"task": shape.task, "kind": shape.kind, "family": model.definition.network.family}
    if shape.classes:
        metadata["classes"] = json.dumps(shape.classes)
    if words is not None:
        metadata["words"] = json.dumps(words.words)
    onnx.helper.set_model_props(proto, metadata)
    onnx.checker.check_model(proto)
    return proto.SerializeToString(deterministic=True)  # type: ignore[no-any-return]


def check(model: Model, signature: Signature, file: bytes) -> None:
    """Against torch, at other numbers of rows and other lengths than were traced.

    Raises:
        ExportFailed
    """
    import onnxruntime  # noqa: PLC0415

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    deployed = model.deployed()
    for rows, more in CHECKED if signature.time_axis else [(rows, 0) for rows, _ in CHECKED]:
        if signature.time_axis and signature.shape.input_shape[signature.time_axis - 1] + more < 1:
            continue
        feeds, x = sample_of(model, signature, rows, more)
        with torch.inference_mode():
            expected = deployed(x).numpy()
        [found] = session.run(None, feeds)
        _compare(found, expected, rows, more)


def sample_of(model: Model, signature: Signature, rows: int, more: int) -> tuple[Feeds, Tensor]:
    """Random inputs, as the file takes them and as the deployed network does."""
    columns = model.definition.data.columns
    if columns is None or not has_categories(columns):
        x = _input(model, signature.sample(rows, more))
        return {INPUT: x.numpy()}, x
    is_series = model.shape.kind == "sequence"
    steps = model.shape.input_shape[0] + more if is_series else 1
    random = np.random.default_rng(SEED)
    raw = [{column.name: _value(column, random) for column in columns.inputs} for _ in range(rows * steps)]
    x = torch.from_numpy(columns.encode(raw))
    given = [raw[start : start + steps] for start in range(0, len(raw), steps)] if is_series else raw
    [(_, feeds)] = Inputs(model.shape, columns, free_length=is_series).read(given)
    return feeds, x.view(rows, steps, -1) if is_series else x


def _value(column: Column, random: np.random.Generator) -> Any:
    """One that is in the data, or could be."""
    if column.missing and random.random() < MISSING_SHARE:
        return None
    if column.kind == "category" and not column.categories:
        return None
    if column.kind == "category":
        return column.categories[random.integers(len(column.categories))]
    return bool(random.integers(2)) if column.kind == "boolean" else float(random.normal(column.fill or 0.0))


def _compare(found: NDArray[np.float32], expected: NDArray[np.float32], rows: int, more: int) -> None:
    if found.shape != expected.shape:
        raise ExportFailed(f"For {rows} rows it gives {list(found.shape)} instead of {list(expected.shape)}.")
    if not np.isfinite(expected).all():
        return  # of a network that has diverged; there is nothing to compare
    size = max(1.0, float(np.abs(expected).max()))
    difference = float(np.abs(found - expected).max()) / size
    if not difference <= TOLERANCE:  # nor is NaN
        detail = f"For {rows} rows and {more} more time steps it differs from torch by {difference:.2g}."
        raise ExportFailed(detail)
