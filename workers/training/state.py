"""What a part of a training is made of between two steps: `part.state()`, and `part.restore(state)` in another process.

A state is tensors and plain values, as `torch.load(weights_only=True)` takes them. Its tensors are those in use, not
copies: it is good until the next step.
"""

from typing import Any

import torch

State = dict[str, Any]


def random_state(device: torch.device) -> State:
    """Of the global generators that a training draws from."""
    on_gpu = {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
    return {"cpu": torch.get_rng_state(), **on_gpu}


def restore_random_state(state: State, device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
