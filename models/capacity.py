"""What the largest machine can take: a job that needs more is refused when it is submitted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.machine import memory_bytes


@dataclass(frozen=True)
class Capacity:
    """What a job may ask for."""

    memory_bytes: int
    without_bfloat16: frozenset[str] = frozenset()
    """Of `auto` and `cuda`, those for which workers are registered, but none that computes in bfloat16."""


def capacity_of(workers: Sequence[dict[str, Any]], fixed_memory: int = 0) -> Capacity:
    """Of the registered workers. `fixed_memory` (`DESCENT_MEMORY_BYTES`) goes before what they have; without any, this
    machine's memory counts."""
    memory = fixed_memory or max((worker["memory_bytes"] for worker in workers), default=0) or memory_bytes()
    suited = {"auto": workers, "cuda": [worker for worker in workers if set(worker["slots"]) - {"cpu"}]}
    lacking = {device for device, known in suited.items() if known and not any(one["bfloat16"] for one in known)}
    return Capacity(memory, frozenset(lacking))
