"""Jobs that should train well, drawn at random within sensible ranges: the controls.

A recipe is a cell; its jobs differ in width, depth, activation, norm, optimizer, rate, batch size and data. Budgets are
small, so that a job takes about half a second on one core.
"""

import math
from random import Random
from typing import Any

from benchmarks.diagnosis.case import Cell
from benchmarks.diagnosis.data import EPOCHS, HARD, ROWS, SEQUENCES, SMALL, TABLES, TINY, log_uniform

Plain = dict[str, Any]

DEPTHS = {"shallow": (1, 3), "middle": (4, 8), "deep": (9, 16), "very_deep": (17, 30), "extreme": (31, 42)}
"""Hidden layers of a dense network."""
BLOCKS = {"shallow": (2, 3), "middle": (4, 7), "deep": (8, 16)}
"""Blocks of a convolutional one."""
LENGTHS = {"short": (6, 10), "long": (14, 24), "longer": (22, 32), "fixed": (0, 0)}
"""Time steps of a sequence; `fixed`: those of the data, `longer`: of the copy problem, for gates."""


def a_base(cell: Cell, rng: Random) -> Plain:
    """One control of a cell."""
    if cell.family in ("rnn", "lstm", "gru"):
        return _recurrent(cell, rng)
    data = {"dataset": cell.dataset, "seed": rng.randrange(100), **TABLES[cell.dataset](rng)}
    if cell.dataset in TINY:
        data["validation"] = 0.3
    if cell.family in ("cnn", "residual_cnn"):
        depth = rng.randint(*BLOCKS[cell.depth])
        network = _convolutional(cell, rng, depth)
    else:
        depth = rng.randint(*DEPTHS[cell.depth])
        network = _dense(cell, rng, depth)
    return {"network": network, "data": data, "training": _training(cell, rng, data, network, depth)}


def _activation(rng: Random, depth: int) -> str:
    common = ["relu"] * 6 + ["tanh"] * 3 + ["gelu", "silu", "elu", "leaky_relu"]
    return rng.choice(common + ["sigmoid"] * 2 if depth == 1 else common)


def _norm(rng: Random, residual: bool, depth: int) -> str:
    plain = 0.3 if residual and depth > 12 else 0.65
    return "none" if rng.random() < plain else rng.choice(("batch", "layer"))


def _dense(cell: Cell, rng: Random, depth: int) -> Plain:
    residual = cell.family == "residual_mlp"
    narrowest = 16 if depth <= 3 else 24 if depth <= 8 else 48
    width = round(log_uniform(rng, narrowest, 256 if depth <= 3 else 128 if depth <= 8 else 80))
    activation, norm = _activation(rng, depth), _norm(rng, residual, depth)
    if cell.family == "sequential":
        one = {"kind": "dense", "width": width, "activation": activation, "norm": norm}
        flat: list[Plain] = [{"kind": "pooling"}] if cell.dataset == "digits" else []
        return {"family": "sequential", "layers": flat + [dict(one) for _ in range(depth)]}
    network = {"family": "dnn", "hidden": [width] * depth, "activation": activation, "norm": norm}
    return network | ({"residual": True} if residual else {})


def _convolutional(cell: Cell, rng: Random, depth: int) -> Plain:
    residual = cell.family == "residual_cnn"
    filters = rng.choice((8, 12, 16) if depth <= 7 else (8, 12))
    kernel = 5 if cell.dataset in ("signals", "patterns") else 3
    pools = {0} if cell.dataset == "digits" else {0, 1} if depth <= 3 else {0, 2}
    blocks = [
        {"filters": filters, "kernel": kernel if index == 0 else 3} | ({"pool": "max"} if index in pools else {})
        for index in range(depth)
    ]
    network = {
        "family": "cnn",
        "blocks": blocks,
        "activation": rng.choice(("relu", "relu", "relu", "gelu", "leaky_relu", "tanh")),
        "norm": rng.choice(("batch", "layer")) if residual else _norm(rng, residual, depth),
        "pooling": "max" if cell.dataset == "patterns" else "flatten",
    }
    return network | ({"residual": True} if residual else {})


def _training(cell: Cell, rng: Random, data: Plain, network: Plain, depth: int) -> Plain:
    kinds = ("adam", "adam", "momentum") if cell.dataset in HARD or depth > 8 else ("adam", "momentum", "sgd")
    kind = rng.choice(kinds)
    milder = (3 / max(depth, 3)) ** 0.7
    plain_deep = depth > 8 and network.get("norm") == "none"
    range_ = {"adam": (0.003, 0.01), "momentum": (0.01, 0.04), "sgd": (0.05, 0.2)}[kind]
    rate = float(f"{log_uniform(rng, *range_) * milder * (0.5 if plain_deep else 1):.2g}")
    optimizer = {"kind": "adam" if kind == "adam" else "sgd", "learning_rate": rate}
    if kind == "momentum":
        optimizer["momentum"] = 0.9
    batch = rng.choice((16, 32, 64))
    rows = data.get("rows") or 0.8 * (ROWS.get(cell.dataset) or data["parameters"]["rows"])
    steps = rng.randint(*((350, 500) if cell.dataset in HARD else (100, 180) if cell.dataset in SMALL else (220, 350)))
    steps = round(steps * (1.5 if kind == "sgd" else 1) * (1.6 if cell.dataset == "spirals" else 1))
    if cell.family.endswith("cnn"):
        batch, steps = rng.choice((16, 32)), round(steps * (0.5 if depth < 8 else 0.7))
    return {"epochs": max(round(steps / math.ceil(rows / batch)), 8), "batch_size": batch, "optimizer": optimizer}


def _recurrent(cell: Cell, rng: Random) -> Plain:
    is_plain, is_copying = cell.family == "rnn", cell.dataset == "copy_memory"
    length = rng.randint(*LENGTHS["longer" if is_copying and cell.depth == "long" else cell.depth])
    network: Plain = {"family": "rnn", "cell": cell.family, "hidden": rng.choice((16, 24, 32, 48))}
    if is_plain:
        length = min(length, rng.randint(11, 13))
        network |= {"hidden": rng.choice((32, 48)), "recurrent_init": "orthogonal"}
    if cell.family == "lstm":
        network["forget_bias"] = 1.0 if length <= 10 else 3.0
    if is_copying:
        network["embedding"] = {"size": 8}
    if cell.dataset == "lookahead":
        network |= {"readout": "each", "bidirectional": True}
    elif cell.dataset in ("sine", "digits_rows"):
        network |= rng.choice(({}, {"bidirectional": True}, {"layers": 2}))
    low, high = (0.003, 0.007) if is_plain else (0.008, 0.02)
    batch = rng.choice((16, 32))
    training = {
        "epochs": EPOCHS[cell.dataset] + (10 if is_copying and is_plain else 0),
        "batch_size": 16 if is_copying and is_plain else 32 if cell.dataset == "adding" and not is_plain else batch,
        "optimizer": {"kind": "adam", "learning_rate": log_uniform(rng, low, high)},
        "clip": {"norm": 1.0},
    }
    data = {"dataset": cell.dataset, "seed": rng.randrange(100), **SEQUENCES[cell.dataset](length)}
    return {"network": network, "data": data, "training": training}
