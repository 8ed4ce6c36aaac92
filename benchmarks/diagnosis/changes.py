"""The ways in which injections change a definition: each gives values by JSON Pointer."""

from collections.abc import Callable
from random import Random
from typing import Any

from benchmarks.diagnosis.data import between, log_uniform
from benchmarks.diagnosis.traits import network_of, width_of

Plain = dict[str, Any]
Changes = dict[str, Any]
"""By JSON Pointer of the definition."""
Change = Callable[[Plain, Random], Changes]


def rate_times(low: float, high: float) -> Change:
    def change(definition: Plain, rng: Random) -> Changes:
        rate = definition["training"]["optimizer"]["learning_rate"]
        return {"/training/optimizer/learning_rate": float(f"{rate * log_uniform(rng, low, high):.2g}")}

    return change


def whole_init(value: Callable[[Plain, Random], Any]) -> Change:
    return lambda definition, rng: {"/network/init": value(definition, rng)}


def layer_init(value: Callable[[Plain, Random], Any]) -> Change:
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


def exploding_recurrence(_: Plain, rng: Random) -> Changes:
    """A gain far above 1, and nothing that would bound the gradient."""
    gain = between(rng, 2.5, 9)
    return {"/network/recurrent_init": {"kind": "orthogonal", "gain": gain}, "/training/clip": None}
