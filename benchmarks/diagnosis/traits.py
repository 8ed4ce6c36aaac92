"""What a definition is like, for injections to know where they apply."""

from typing import Any

from benchmarks.diagnosis.data import ROWS
from models.catalogue import shape_of_data
from models.definitions.job import JobDefinition

Plain = dict[str, Any]

RECTIFIERS = ("relu", "gelu", "silu", "elu")


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
