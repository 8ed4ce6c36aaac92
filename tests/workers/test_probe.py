"""Which units are dead on the probe, and the norm of its gradient, by hand."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from models.catalogue import DataShape
from models.definitions.network import Network
from models.definitions.training import Training
from models.shapes import trace
from workers.training.losses import Loss
from workers.training.networks import build
from workers.training.parameters import FlatParameters
from workers.training.parts import Resident
from workers.training.probe import Probe, build_probe, probe_rows

NETWORK: TypeAdapter[Any] = TypeAdapter(Network)
TABLE = DataShape("table", "classification", 100, (5,), 3, ("a", "b", "c"))
IMAGE = DataShape("image", "classification", 100, (2, 8, 8), 3, ("a", "b", "c"))
SEQUENCE = DataShape("sequence", "classification", 100, (7, 5), 3, ("a", "b", "c"))


def a_part(data: DataShape, rows: int = 100) -> Resident:
    torch.manual_seed(3)
    return Resident(y=torch.randint(0, 3, (rows,)), x=torch.randn(rows, *data.input_shape))


def a_probe(plain: dict[str, Any], data: DataShape = TABLE, **training: Any) -> tuple[Any, Resident, Probe | None]:
    definition = NETWORK.validate_python(plain)
    torch.manual_seed(0)
    network, part = build(definition, data), a_part(data)
    parameters, loss = FlatParameters(network), Loss("cross_entropy", 3)
    given = network, parameters, trace(definition, data), loss, part, Training(**training), nullcontext
    return network, part, build_probe(*given)


def dead_of(probe: Probe | None) -> list[float]:
    assert probe is not None
    dead = probe.dead()
    assert dead is not None
    return dead.tolist()


@torch.no_grad()
def with_bias(layer: Any, bias: float, units: slice) -> None:
    layer.bias[units] = bias


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "elu", "selu"])
def test_a_layer_whose_bias_is_far_below_is_dead(activation: str) -> None:
    network, _, probe = a_probe({"family": "dnn", "hidden": [8, 4], "activation": activation})
    assert dead_of(probe)[1] == 0
    with_bias(network.hidden_1.linear, -100.0, slice(3))
    assert dead_of(probe) == [pytest.approx(0, abs=0.3), 0.75]
    with_bias(network.hidden_0.linear, -100.0, slice(None))
    assert dead_of(probe)[0] == 1.0


def test_one_row_that_reaches_a_unit_keeps_it_alive() -> None:
    network, part, probe = a_probe({"family": "dnn", "hidden": [1]})
    x, _ = probe_rows(part, 64)
    with torch.no_grad():
        network.hidden_0.linear.bias.zero_()
        z = network.hidden_0.linear(x)
        ahead = z.max()
    with_bias(network.hidden_0.linear, -ahead.item() * 0.999, slice(None))
    assert dead_of(probe) == [0.0]
    with_bias(network.hidden_0.linear, -ahead.item() * 1.001, slice(None))
    assert dead_of(probe) == [1.0]


def test_the_units_of_a_convolution_are_its_channels() -> None:
    plain = {"family": "cnn", "blocks": [{"filters": 4, "pool": "max"}], "hidden": [6], "norm": "none"}
    network, _, probe = a_probe(plain, IMAGE)
    with_bias(network.block_0.convolution, -100.0, slice(1))
    assert dead_of(probe)[0] == 0.25


def test_a_layer_that_acts_at_each_time_step_has_its_width_of_units() -> None:
    layers = [{"kind": "dense", "width": 8}, {"kind": "recurrent", "hidden": 4}, {"kind": "readout"}]
    network, _, probe = a_probe({"family": "sequential", "layers": layers}, SEQUENCE)
    with_bias(network.dense_0.linear, -100.0, slice(2))
    assert dead_of(probe)[0] == 0.25


def test_it_is_the_input_of_the_activation_that_counts() -> None:
    """Batch norm takes the bias of the affine map away again, and has its own."""
    network, _, probe = a_probe({"family": "dnn", "hidden": [8], "norm": "batch", "bias": True})
    with_bias(network.hidden_0.linear, -100.0, slice(None))
    assert dead_of(probe) == [0.0]
    with_bias(network.hidden_0.norm, -100.0, slice(None))
    assert dead_of(probe) == [1.0]


def test_of_a_residual_block_the_worst_layer_counts() -> None:
    dense = {"kind": "dense", "width": 8}
    layers = [dense, {"kind": "residual", "layers": [dense, dense]}, dense | {"residual": True}]
    network, _, probe = a_probe({"family": "sequential", "layers": layers})
    with_bias(network.residual_1.body.dense_1.linear, -100.0, slice(None))
    with_bias(network.dense_2.linear, -100.0, slice(4))
    _, block, residual = dead_of(probe)
    assert (block, residual) == (1.0, pytest.approx(0.5, abs=0.2))


@pytest.mark.parametrize("activation", ["tanh", "leaky_relu", "maxout", "linear"])
def test_there_is_no_probe_where_nothing_can_die_and_steps_have_many_rows(activation: str) -> None:
    plain = {"family": "dnn", "hidden": [8], "activation": activation}
    assert a_probe(plain, batch_size=9)[2] is None
    _, _, probe = a_probe(plain, batch_size=4, accumulate=2)
    assert probe is not None
    assert probe.dead() is None
    assert probe.gradient_norm().isfinite()


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_the_gradient_is_that_of_the_probe_without_dropout(norm: str) -> None:
    network, part, probe = a_probe({"family": "dnn", "hidden": [8], "dropout": 0.5, "norm": norm}, batch_size=8)
    assert probe is not None
    found = probe.gradient_norm()
    for dropout in (module for module in network.modules() if isinstance(module, nn.Dropout)):
        assert dropout.training
        dropout.p = 0.0
    network.double().zero_grad()
    nn.functional.cross_entropy(network(part.x[:64].double()), part.y[:64]).backward()
    expected = torch.cat([parameter.grad.flatten() for parameter in network.parameters()]).norm()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


def test_asking_moves_neither_buffers_nor_generator() -> None:
    network, _, probe = a_probe({"family": "dnn", "hidden": [8], "dropout": 0.5, "norm": "batch"}, batch_size=8)
    assert probe is not None
    before: dict[str, Tensor] = {name: value.clone() for name, value in network.state_dict().items()}
    drawn = torch.get_rng_state()
    probe.dead()
    probe.gradient_norm()
    assert torch.equal(drawn, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(("rows", "batch", "expected"), [(100, 8, 64), (50, 8, 50), (999, 128, 128), (999, 512, 256)])
def test_the_probe_is_the_first_rows(rows: int, batch: int, expected: int) -> None:
    part = a_part(TABLE, rows)
    x, y = probe_rows(part, batch)
    assert torch.equal(x, part.x[:expected])
    assert torch.equal(y, part.y[:expected])
