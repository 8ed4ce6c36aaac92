"""What goes wrong: each injection changes the definition of a control, and says what a diagnosis should call it.

An injection gives the changes as values by JSON Pointer, so that a job differs from its control by these alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from benchmarks.diagnosis.case import Cell
from benchmarks.diagnosis.recipes import ROWS, between, log_uniform
from models.catalogue import shape_of_data
from models.definitions.job import JobDefinition

Plain = dict[str, Any]
Changes = dict[str, Any]
"""By JSON Pointer of the definition."""

RECTIFIERS = ("relu", "gelu", "silu", "elu")


@dataclass(frozen=True)
class Injection:
    """One kind of fault."""

    applies: Callable[[Cell, Plain], bool]
    change: Callable[[Plain, Random], Changes]
    expected: tuple[str, ...]
    weight: float = 1.0
    """How often, against the others that apply."""
    control: bool = True
    """False: its own best epoch is its control."""
    repairable: bool = True


def network_of(definition: Plain) -> Plain:
    network: Plain = definition["network"]
    return network


def depth_of(definition: Plain) -> int:
    """Hidden layers that have weights."""
    network = network_of(definition)
    for name in ("hidden", "blocks", "layers"):
        if isinstance(network.get(name), list):
            return len([one for one in network[name] if not isinstance(one, dict) or one.get("kind") != "pooling"])
    return int(network.get("layers", 1))


def width_of(definition: Plain) -> int:
    network = network_of(definition)
    if network["family"] == "cnn":
        return int(network["blocks"][1]["filters"]) * 9
    if network["family"] == "sequential":
        return int(network["layers"][-1]["width"])
    return int(network["hidden"][0])


def is_plain(definition: Plain) -> bool:
    """Neither norm nor shortcuts help the gradient."""
    network = network_of(definition)
    bare = network.get("norm") == "none" and not network.get("residual")
    return bare and network["family"] in ("dnn", "cnn")


def is_feed_forward(definition: Plain) -> bool:
    return str(network_of(definition)["family"]) in ("dnn", "cnn")


def is_sequential(definition: Plain) -> bool:
    return str(network_of(definition)["family"]) == "sequential"


def is_recurrent(definition: Plain) -> bool:
    return str(network_of(definition)["family"]) == "rnn"


def activation_of(definition: Plain) -> str:
    network = network_of(definition)
    if network["family"] == "sequential":
        return str(network["layers"][-1]["activation"])
    return str(network.get("activation", "none"))


def is_regression(definition: Plain) -> bool:
    return shape_of_data(JobDefinition.model_validate(definition).data).task == "regression"


def training_rows(definition: Plain) -> float:
    data = definition["data"]
    return data.get("rows") or 0.8 * (ROWS.get(data["dataset"]) or data["parameters"]["rows"])


def rate_times(low: float, high: float) -> Callable[[Plain, Random], Changes]:
    def change(definition: Plain, rng: Random) -> Changes:
        rate = definition["training"]["optimizer"]["learning_rate"]
        return {"/training/optimizer/learning_rate": float(f"{rate * log_uniform(rng, low, high):.2g}")}

    return change


def whole_init(value: Callable[[Plain, Random], Any]) -> Callable[[Plain, Random], Changes]:
    return lambda definition, rng: {"/network/init": value(definition, rng)}


def layer_init(value: Callable[[Plain, Random], Any]) -> Callable[[Plain, Random], Changes]:
    """Of one layer of a sequential network."""

    def change(definition: Plain, rng: Random) -> Changes:
        layers = network_of(definition)["layers"]
        places = [index for index, layer in enumerate(layers) if layer["kind"] == "dense"]
        return {f"/network/layers/{rng.choice(places)}/init": value(definition, rng)}

    return change


def normal(low: float, high: float) -> Callable[[Plain, Random], Any]:
    """A deviation so many times that of LeCun."""
    return lambda definition, rng: {
        "kind": "normal",
        "std": float(f"{log_uniform(rng, low, high) / width_of(definition) ** 0.5:.2g}"),
    }


def biased(definition: Plain, rng: Random) -> Any:
    return {"kind": "auto", "bias": -round(log_uniform(rng, 6, 15), 1)}


def constant(definition: Plain, rng: Random) -> Any:
    return rng.choice(("zeros", {"kind": "constant", "value": log_uniform(rng, 0.01, 0.3)}))


def overfitting(definition: Plain, rng: Random) -> Changes:
    epochs = rng.randrange(120, 200, 10)
    return {
        "/data/rows": rng.randrange(60, 101, 5),
        "/data/label_noise": between(rng, 0.2, 0.4),
        "/training/epochs": epochs,
        "/training/batch_size": 32,
    }


INJECTIONS: dict[str, Injection] = {
    "deep_sigmoid": Injection(
        lambda _, d: is_plain(d) and depth_of(d) >= 4 and activation_of(d) != "sigmoid",
        lambda _, rng: {"/network/activation": "sigmoid", "/network/init": rng.choice(("default", "auto"))},
        ("vanishing_depth",),
        4,
    ),
    "default_init": Injection(
        lambda _, d: is_plain(d) and depth_of(d) >= 7,
        whole_init(lambda *_: "default"),
        ("vanishing_depth",),
        4,
    ),
    "small_init": Injection(
        lambda _, d: is_plain(d) and depth_of(d) >= 4,
        whole_init(normal(0.05, 0.3)),
        ("vanishing_depth",),
        3,
    ),
    "large_init": Injection(
        lambda _, d: is_plain(d) and depth_of(d) >= 3,
        whole_init(normal(4, 12)),
        ("exploding_depth", "saturated"),
        3,
    ),
    "residual_growth": Injection(
        lambda _, d: is_feed_forward(d) and bool(network_of(d).get("residual")) and depth_of(d) >= 12,
        lambda d, rng: {"/network/norm": "none", "/network/init": normal(1.8, 3)(d, rng)},
        ("exploding_depth", "saturated"),
        2.5,
    ),
    "constant_init": Injection(lambda _, d: is_feed_forward(d), whole_init(constant), ("constant_init",), 0.7),
    "negative_bias": Injection(
        lambda _, d: is_plain(d) and activation_of(d) in (*RECTIFIERS, "tanh"),
        whole_init(biased),
        ("dead_at_init", "saturated"),
        3,
    ),
    "layer_constant": Injection(lambda _, d: is_sequential(d), layer_init(constant), ("constant_init",), 2),
    "layer_dead": Injection(
        lambda _, d: is_sequential(d) and activation_of(d) in (*RECTIFIERS, "tanh"),
        layer_init(biased),
        ("dead_at_init", "saturated"),
        2,
    ),
    "layer_large": Injection(
        lambda _, d: is_sequential(d),
        layer_init(normal(30, 100)),
        ("exploding_depth", "saturated"),
        2,
    ),
    "rate_high": Injection(lambda *_: True, rate_times(30, 100), ("learning_rate_too_high",), 1.2),
    "rate_low": Injection(lambda *_: True, rate_times(0.0005, 0.002), ("learning_rate_too_low",), 0.8),
    "raw_features": Injection(
        lambda cell, d: cell.dataset in ("wine", "breast_cancer", "diabetes", "blobs", "digits"),
        lambda *_: {"/data/normalise": "none"},
        ("unnormalised_input", "unnormalised_target"),
        2.5,
    ),
    "batch_one": Injection(
        lambda _, d: (
            training_rows(d) <= 200 and is_feed_forward(d) and depth_of(d) <= 12 and network_of(d)["norm"] != "batch"
        ),
        lambda d, rng: {
            "/training/batch_size": 1,
            "/training/max_steps": 1000,
            "/training/optimizer/learning_rate": min(d["training"]["optimizer"]["learning_rate"] * 3, 1.0),
        },
        ("batch_too_small", "learning_rate_too_high"),
        3,
    ),
    "overfitting": Injection(
        lambda cell, d: cell.dataset != "diabetes" and cell.family in ("mlp", "residual_mlp", "sequential"),
        overfitting,
        ("overfit",),
        1,
        control=False,
    ),
    "softmax_output": Injection(
        lambda _, d: not is_regression(d),
        lambda *_: {"/network/output": "softmax"},
        ("wrong_output",),
        0.6,
    ),
    "sigmoid_output": Injection(
        lambda _, d: is_regression(d), lambda *_: {"/network/output": "sigmoid"}, ("wrong_output",), 1
    ),
    "permuted_labels": Injection(
        lambda *_: True,
        lambda *_: {"/data/label_noise": 1.0},
        ("no_signal", "overfit", "low_signal"),
        0.4,
        repairable=False,
    ),
    "short_budget": Injection(
        lambda _, d: d["training"]["optimizer"]["kind"] == "sgd",
        lambda d, _: {"/training/epochs": 2},
        ("slow", "learning_rate_too_low"),
        0.5,
    ),
    "forgetting": Injection(
        lambda cell, d: cell.family == "rnn",
        lambda *_: {"/network/recurrent_init": "default"},
        ("vanishing_time",),
        2,
    ),
    "vanishing_recurrence": Injection(
        lambda cell, _: cell.family == "rnn",
        lambda _, rng: {"/network/recurrent_init": {"kind": "orthogonal", "gain": between(rng, 0.05, 0.3)}},
        ("vanishing_time",),
        2,
    ),
    "closed_gates": Injection(
        lambda cell, _: cell.family == "lstm" and cell.dataset in ("adding", "copy_memory"),
        lambda _, rng: {"/network/forget_bias": -between(rng, 3, 7)},
        ("vanishing_time",),
        2,
    ),
    "recurrent_gain": Injection(
        lambda _, d: is_recurrent(d),
        lambda _, rng: {"/network/recurrent_init": {"kind": "orthogonal", "gain": between(rng, 1.9, 5)}},
        ("exploding_time", "saturated"),
        2,
    ),
}
