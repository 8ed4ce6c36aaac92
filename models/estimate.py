"""`POST /v1/estimates`: what a job would be, take and be likely to do, without torch and without queueing anything."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from models import catalogue
from models.admission import examine, problems_of, read_definition, too_large
from models.capacity import Capacity
from models.catalogue import DataShape
from models.definitions.base import Several, Strict
from models.definitions.initial import ConstantInit, Init, ZerosInit, resolve
from models.definitions.job import JobDefinition
from models.definitions.layers import Convolution, Dense, Output
from models.definitions.network import Network
from models.definitions.uploaded import Kind, Task
from models.errors import InvalidDefinition
from models.expectation import Expectation, activations_of, expect
from models.losses import loss_name
from models.mean_field import LOST, depth_budget
from models.shapes import BYTES, OPTIMIZER_COPIES, Architecture, Layer
from models.uploads import Uploads, no_uploads

UNBOUNDED_ROWS = 2**40
Extent = Annotated[int, Field(ge=1, le=2**31)]


class InputShape(Strict):
    """Instead of a data set: only what a network has to know of one."""

    input_shape: Annotated[Several[Extent], Field(min_length=1, max_length=3)]
    """Of one row: [features], [channels, length] or [time, features] as the network takes it, [channels, height,
    width]."""
    classes: Annotated[int, Field(ge=2, le=2**31)] | None = None
    """Of a classification."""
    outputs: Extent | None = None
    """Numbers to predict, of a regression."""

    @model_validator(mode="after")
    def _one_of_both(self) -> "InputShape":
        if (self.classes is None) == (self.outputs is None):
            raise PydanticCustomError("classes_or_outputs", "It should have either `classes` or `outputs`")
        return self

    def shape(self, network: Network) -> DataShape:
        """As the shape of a data set that this network takes."""
        ranks: dict[int, Kind] = {1: "table", 2: "sequence" if takes_sequences(network) else "signal", 3: "image"}
        task: Task = "regression" if self.classes is None else "classification"
        per_step = getattr(network, "readout", None) == "each"
        kind, outputs = ranks[len(self.input_shape)], self.classes or self.outputs or 1
        names = tuple(map(str, range(min(self.classes or 0, 2))))
        return DataShape(kind, task, UNBOUNDED_ROWS, tuple(self.input_shape), outputs, names, per_step)


def takes_sequences(network: Network) -> bool:
    """Whether rows of rank two are time steps, not channels."""
    if network.family == "sequential":
        return bool(network.layers) and network.layers[0].kind not in ("convolution", "frames", "pooling", "residual")
    return network.family == "rnn"


def estimate(definition: JobDefinition, shape: DataShape, capacity: Capacity) -> dict[str, Any]:
    """The answer to a POST, of what `read_sketch` made of it.

    Raises:
        InvalidDefinition: the definition does not fit its data. One that is too large is only warned of.
    """
    architecture = examine(definition, shape, capacity)
    expected = expect(architecture)
    mean_gain = expected.mean_gain
    problems = too_large(definition, architecture, shape.rows, capacity)
    warnings = [{"code": item.code, "detail": item.detail, "pointer": item.pointer} for item in problems]
    return {
        "layers": [_layer(layer, definition, shape, expected) for layer in architecture.layers],
        "total": _total(architecture, definition, shape),
        "depth_budget": None if mean_gain is None else depth_budget(mean_gain),
        "warnings": warnings + list(_warnings(definition, shape, architecture, expected)),
    }


def read_sketch(value: Any, uploads: Uploads = no_uploads) -> tuple[JobDefinition, DataShape]:
    """A definition and the shape of its data, from a job definition or one with an `InputShape` for its data.

    Raises:
        InvalidDefinition
    """
    given = value.get("data") if isinstance(value, dict) else None
    if not (isinstance(given, dict) and "input_shape" in given):
        definition = read_definition(value, uploads)
        return definition, catalogue.shape_of_data(definition.data)
    try:
        wanted = InputShape.model_validate(given)
    except ValidationError as error:
        raise InvalidDefinition(problems_of(error, given, "/data")) from error
    definition = read_definition(value | {"data": {"dataset": "iris"}})
    return definition, wanted.shape(definition.network)


def _layer(layer: Layer, definition: JobDefinition, shape: DataShape, expected: Expectation) -> dict[str, Any]:
    return {
        "index": layer.index,
        "name": layer.name,
        "kind": layer.kind,
        "output_shape": list(layer.output_shape),
        "parameters": layer.parameters,
        "flops": layer.flops,
        "activation_bytes": BYTES * _batch(definition, shape) * layer.activations,
        "gain": expected.gains.get(layer.index),
        "time_gain": expected.time_gains.get(layer.index),
    }


def _total(architecture: Architecture, definition: JobDefinition, shape: DataShape) -> dict[str, int]:
    weights = BYTES * architecture.parameters
    return {
        "parameters": architecture.parameters,
        "flops": sum(layer.flops for layer in architecture.layers),
        "parameter_bytes": weights,
        "gradient_bytes": weights,
        "optimizer_bytes": weights * OPTIMIZER_COPIES[definition.training.optimizer.kind],
        "activation_bytes": architecture.activation_bytes(_batch(definition, shape)),
    }


def _batch(definition: JobDefinition, shape: DataShape) -> int:
    return min(definition.training.batch_size, shape.rows)


def _warnings(
    definition: JobDefinition, shape: DataShape, architecture: Architecture, expected: Expectation
) -> Iterator[dict[str, str]]:
    """What is likely to go wrong, in plain words."""
    yield from _output_warnings(definition, shape, architecture)
    constant = [layer for layer in architecture.layers if _is_constant(layer)]
    if constant:
        detail = f"All weights of {constant[0].name} begin equal, so its units get the same gradient and stay the same."
        yield {"code": "constant_init", "detail": detail, "pointer": "/network"}
    else:
        yield from _depth_warnings(architecture, expected)
    for index, gain in expected.time_gains.items():
        layer = architecture.layers[index]
        length = layer.input_shape[0]
        if gain ** (length - 1) < LOST:
            detail = f"The state of a plain rnn passes on {_share(gain)} of the gradient a time step; from the last of "
            detail += f"{length} to the first {gain ** (length - 1):.0e} of it is left. An lstm or gru keeps it."
            yield {"code": "vanishing_time", "detail": detail, "pointer": layer.pointer}


def _depth_warnings(architecture: Architecture, expected: Expectation) -> Iterator[dict[str, str]]:
    product, gain = expected.product, expected.mean_gain
    if gain is None or LOST <= product <= 1 / LOST:
        return
    layers = [architecture.layers[index] for index in expected.gains]
    inits = list(dict.fromkeys(layer.init for layer in layers if layer.init != "none"))
    kinds = f"{' and '.join(activations_of(layers))} layer{'s' if len(layers) > 1 else ''}"
    if inits:
        kinds += f" with {' and '.join(inits)} init"
    if product < LOST:
        detail = f"{len(layers)} {kinds} pass on {product:.0e} of the gradient: {_share(gain)} a layer. "
        detail += "The first ones will hardly move; relu with he init, residual layers or a norm keep the gradient."
        yield {"code": "vanishing_depth", "detail": detail, "pointer": "/network"}
    else:
        detail = f"{len(layers)} {kinds} multiply the gradient by {product:.0e}: {gain:.2g} a layer. "
        detail += "The weights begin too large; the init that fits the activation is auto."
        yield {"code": "exploding_depth", "detail": detail, "pointer": "/network"}


def _share(gain: float) -> str:
    return f"{100 * gain:.2g} %"


def _is_constant(layer: Layer) -> bool:
    chosen = layer.placed.layer
    init: Init | None = chosen.init if isinstance(chosen, Dense | Convolution) else None
    return init is not None and isinstance(resolve(init, "linear"), ConstantInit | ZerosInit)


def _output_warnings(
    definition: JobDefinition, shape: DataShape, architecture: Architecture
) -> Iterator[dict[str, str]]:
    """The losses take logits, and a regression any number."""
    output = architecture.layers[-1].placed.layer
    assert isinstance(output, Output)
    if output.ends in ("auto", "linear"):
        return
    loss = loss_name(definition.training, shape)
    if shape.task == "classification":
        detail = f"{loss} takes logits and squashes them itself; after a {output.ends} the gradient is squashed twice."
    else:
        detail = f"A {output.ends} gives values from 0 to 1 only, which the targets of a regression are not."
    yield {"code": "wrong_output", "detail": detail + ' Leave `output` at "auto".', "pointer": "/network/output"}
