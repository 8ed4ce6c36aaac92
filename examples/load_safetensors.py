"""`python load_safetensors.py weights.safetensors definition.json rows.json ...`: predicts with PyTorch alone.

Nothing of Descent is needed: the networks of `round_trip.py` are written out here, by the names of their weights. Where
yours is another one, the names and shapes in the file say what to write.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
Weights = dict[str, Tensor]


def predict(weights_file: Path, definition: dict[str, Any], rows: list[Any]) -> Tensor:
    """Probabilities [rows, classes], or values [rows, outputs]."""
    weights = load_file(weights_file)
    x = features(definition["data"], rows)
    if "scales.input.offset" in weights:  # scaled in double, as the training data were
        x = ((x.double() - weights["scales.input.offset"]) / weights["scales.input.factor"]).float()
    outputs = FAMILIES[definition["network"]["family"]](definition["network"], weights, x)
    if "scales.target.offset" in weights:
        return outputs.double() * weights["scales.target.factor"] + weights["scales.target.offset"]
    return outputs.softmax(-1)


def features(data: dict[str, Any], rows: list[Any]) -> Tensor:
    """Nested lists as they are; of a table numbers, or their median, and one column for each category."""
    if not isinstance(rows[0], dict):
        return torch.tensor(rows)
    known = {column["name"]: column for column in data["uploaded"]["columns"]["columns"]}
    used = [known[name] for name in data["uploaded"]["columns"]["features"]]
    return torch.tensor([[number for column in used for number in encoded(column, row)] for row in rows])


def encoded(column: dict[str, Any], row: dict[str, Any]) -> list[float]:
    value = row[column["name"]]
    if column["kind"] != "category":
        return [float(column["fill"] if value is None else value)]
    hot = [float(str(value) == category) for category in column["categories"]]
    return [*hot, float(value is None)] if column["missing"] else hot


def linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    return functional.linear(x, weights[f"{name}.linear.weight"], weights[f"{name}.linear.bias"])


def convolution(weights: Weights, name: str, x: Tensor) -> Tensor:
    """As many positions as before, for a kernel of odd size and stride 1."""
    kernel = weights[f"{name}.convolution.weight"]
    y = functional.conv2d(x, kernel, weights[f"{name}.convolution.bias"], padding=kernel.shape[-1] // 2)
    return y.relu()


def recurrent(weights: Weights, name: str, layer: dict[str, Any], x: Tensor) -> Tensor:
    cell = CELLS[layer["cell"]](x.shape[-1], layer["hidden"], batch_first=True, bidirectional=layer["bidirectional"])
    prefix = f"{name}.cell."
    own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    cell.load_state_dict(own)
    return cell(x)[0]


def last(states: Tensor, hidden: int) -> Tensor:
    """The last state of the forward direction, beside that of the backward one, which is at the first time step."""
    return torch.cat([states[:, -1, :hidden], states[:, 0, hidden:]], dim=1)


def dnn(network: dict[str, Any], weights: Weights, x: Tensor) -> Tensor:
    x = x.flatten(1)
    for index in range(len(network["hidden"])):
        x = linear(weights, f"hidden_{index}", x).relu()
    return linear(weights, "output", x)


def cnn(network: dict[str, Any], weights: Weights, x: Tensor) -> Tensor:
    for index, block in enumerate(network["blocks"]):
        x = convolution(weights, f"block_{index}", x)
        x = functional.max_pool2d(x, block["pool_size"]) if block["pool"] == "max" else x
    return dnn(network, weights, x)


def rnn(network: dict[str, Any], weights: Weights, x: Tensor) -> Tensor:
    for index in range(network["layers"]):
        x = recurrent(weights, f"recurrent_{index}", network, x)
    return linear(weights, "output", last(x, network["hidden"]))


def sequential(network: dict[str, Any], weights: Weights, x: Tensor) -> Tensor:
    for index, layer in enumerate(network["layers"]):
        name = f"{layer['kind']}_{index}"
        match layer["kind"]:
            case "convolution":
                x = convolution(weights, name, x)
            case "frames":  # [rows, channels, bands, time] to [rows, time, channels x bands]
                x = x.flatten(1, -2).transpose(1, 2)
            case "recurrent":
                x, hidden = recurrent(weights, name, layer, x), layer["hidden"]
            case "readout":
                x = last(x, hidden)
            case "dense":
                x = linear(weights, name, x).relu()
    return linear(weights, "output", x)


FAMILIES = {"dnn": dnn, "cnn": cnn, "rnn": rnn, "sequential": sequential}

if __name__ == "__main__":
    weights, *files = map(Path, sys.argv[1:])
    definition, *batches = (json.loads(file.read_text()) for file in files)
    with torch.inference_mode():
        print(json.dumps([predict(weights, definition, rows).tolist() for rows in batches]))
