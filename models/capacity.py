"""What the largest machines can take: a job that needs more is refused when it is submitted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.machine import memory_bytes


@dataclass(frozen=True)
class Capacity:
    """What a job may ask for."""

    memory_bytes: int
    """Of a device."""
    without_bfloat16: frozenset[str] = frozenset()
    """Of `auto` and `cuda`, those for which workers are registered, but none that computes in bfloat16."""
    cuda_memory_bytes: int | None = None
    """Of a GPU, where workers with GPUs are registered."""
    most: Mapping[str, int] = field(default_factory=dict)
    """Of `gpus` and `processes`, how many a job may have at once; for those kinds for which workers are registered."""

    def memory_of(self, device: str) -> int:
        """Of the largest device for a job that wants `auto`, `cpu` or `cuda`."""
        of_gpu = self.cuda_memory_bytes if device == "cuda" else None
        return self.memory_bytes if of_gpu is None else of_gpu


def capacity_of(workers: Sequence[dict[str, Any]], fixed_memory: int = 0) -> Capacity:
    """Of the registered workers. `fixed_memory` (`DESCENT_MEMORY_BYTES`) goes before what they have; without any, this
    machine's memory counts."""
    with_gpus = [worker for worker in workers if set(worker["slots"]) - {"cpu"}]
    suited = {"auto": workers, "cuda": with_gpus}
    lacking = {device for device, known in suited.items() if known and not any(one["bfloat16"] for one in known)}
    memory = fixed_memory or _memory(workers) or memory_bytes()
    most = {"processes": max(map(_devices, workers), default=0), "gpus": max(map(_devices, with_gpus), default=0)}
    known = {kind: count for kind, count in most.items() if count}
    return Capacity(memory, frozenset(lacking), fixed_memory or _memory(with_gpus) or None, known)


def _memory(workers: Sequence[dict[str, Any]]) -> int:
    return max((worker.get("device_memory_bytes") or worker["memory_bytes"] for worker in workers), default=0)


def _devices(worker: dict[str, Any]) -> int:
    """How many one job may have: GPUs, or slots of the CPU."""
    return len(set(worker["slots"]) - {"cpu"}) or len(worker["slots"])
