"""What goes wrong: each injection changes the definition of a control, and says what a diagnosis should call it.

An injection gives the changes as values by JSON Pointer, so that a job differs from its control by these alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.diagnosis.case import Cell
from benchmarks.diagnosis.changes import (
    Change,
    biased,
    constant,
    exploding_recurrence,
    layer_init,
    normal,
    overfitting,
    rate_times,
    whole_init,
)
from benchmarks.diagnosis.data import between
from benchmarks.diagnosis.traits import (
    RECTIFIERS,
    activation_of,
    depth_of,
    is_feed_forward,
    is_plain,
    is_recurrent,
    is_regression,
    is_sequential,
    network_of,
    training_rows,
)

Plain = dict[str, Any]


@dataclass(frozen=True)
class Injection:
    """One kind of fault."""

    applies: Callable[[Cell, Plain], bool]
    change: Change
    expected: tuple[str, ...]
    weight: float = 1.0
    """How often, against the others that apply."""
    control: bool = True
    """False: its own best epoch is its control."""
    repairable: bool = True


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
        lambda d, rng: {"/training/batch_size": 1, "/training/max_steps": 1000, **rate_times(4, 10)(d, rng)},
        ("batch_too_small", "learning_rate_too_high"),
        3,
    ),
    "overfitting": Injection(
        lambda cell, d: "cnn" not in cell.family and not is_recurrent(d) and depth_of(d) <= 16 and not is_regression(d),
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
    "plain_cell": Injection(
        lambda cell, _: cell.family == "gru" and cell.dataset in ("adding", "copy_memory"),
        lambda *_: {"/network/cell": "rnn"},
        ("vanishing_time",),
        3,
    ),
    "closed_gates": Injection(
        lambda cell, _: cell.family == "lstm" and cell.dataset in ("adding", "copy_memory"),
        lambda _, rng: {"/network/forget_bias": -between(rng, 3, 7)},
        ("vanishing_time",),
        2,
    ),
    "recurrent_gain": Injection(
        lambda cell, _: cell.family == "rnn",
        exploding_recurrence,
        ("exploding_time", "saturated"),
        3,
    ),
    "gated_gain": Injection(
        lambda cell, _: cell.family in ("lstm", "gru"),
        exploding_recurrence,
        ("exploding_time", "saturated"),
        1,
    ),
}
