"""Data sets as controls take them, small and at random, and the draws that all recipes share."""

import math
from collections.abc import Callable
from random import Random
from typing import Any

Plain = dict[str, Any]


def log_uniform(rng: Random, low: float, high: float) -> float:
    """Two significant digits, so that definitions stay readable."""
    return float(f"{math.exp(rng.uniform(math.log(low), math.log(high))):.2g}")


def between(rng: Random, low: float, high: float) -> float:
    return round(rng.uniform(low, high), 3)


TABLES: dict[str, Callable[[Random], Plain]] = {
    "iris": lambda _: {},
    "wine": lambda _: {},
    "breast_cancer": lambda rng: {"rows": rng.choice((200, 300, 400))},
    "diabetes": lambda _: {},
    "digits": lambda rng: {"rows": rng.randrange(500, 1000, 50)},
    "digits_rows": lambda rng: {"rows": rng.randrange(500, 900, 50)},
    "xor": lambda rng: {"parameters": {"rows": rng.randrange(200, 400, 20), "noise": between(rng, 0.05, 0.15)}},
    "circles": lambda rng: {
        "parameters": {
            "rows": rng.randrange(200, 400, 20),
            "noise": between(rng, 0.04, 0.1),
            "factor": between(rng, 0.3, 0.55),
        }
    },
    "blobs": lambda rng: {
        "parameters": {
            "rows": rng.randrange(200, 400, 20),
            "classes": rng.randint(3, 6),
            "features": rng.randint(3, 12),
            "seed": rng.randrange(1000),
        }
    },
    "spirals": lambda rng: {
        "parameters": {
            "rows": rng.randrange(300, 500, 20),
            "arms": rng.randint(2, 3),
            "turns": between(rng, 0.4, 0.8),
        }
    },
    "sine": lambda rng: {"parameters": {"rows": rng.randrange(300, 500, 20), "length": rng.randint(12, 24)}},
    "patterns": lambda rng: {
        "parameters": {"rows": rng.randrange(400, 500, 20), "channels": rng.randint(1, 2), "shift": False, "noise": 0.2}
    },
    "signals": lambda rng: {"parameters": {"rows": rng.randrange(500, 640, 20), "noise": 0.1, "length": 48}},
    "spectrograms": lambda rng: {
        "parameters": {"rows": rng.randrange(400, 500, 20), "bands": 12, "length": 16, "noise": 0.1}
    },
}
ROWS = {"iris": 150, "wine": 178, "breast_cancer": 569, "diabetes": 442, "digits": 1797, "digits_rows": 1797}
HARD = ("spirals", "digits", "digits_rows", "sine", "signals", "patterns", "spectrograms")
"""Of these sets it takes more steps."""
SMALL = ("iris", "diabetes")
"""Of these sets it takes few, before a network begins to over-fit."""
TINY = ("iris", "wine")
"""Of these sets a fifth is too few rows to judge by."""

SEQUENCES: dict[str, Callable[[int], Plain]] = {
    "adding": lambda length: {"parameters": {"length": length, "rows": 1000}},
    "copy_memory": lambda length: {"parameters": {"length": length, "rows": 400}},
    "sine": lambda length: {"parameters": {"length": length, "rows": 400}},
    "digits_rows": lambda _: {"rows": 600},
    "lookahead": lambda length: {"parameters": {"length": length, "rows": 300, "lag": 2}},
}
EPOCHS = {"adding": 22, "copy_memory": 20, "sine": 20, "digits_rows": 14, "lookahead": 25}
