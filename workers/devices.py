"""The slots of this machine: where a job may run. Counts GPUs without CUDA, which a fork would not survive."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from models.machine import memory_bytes
from models.settings import Settings


@dataclass(frozen=True)
class Slot:
    """A place where one job may run."""

    index: int
    device: str
    """`cpu`, or `cuda:<n>` by the numbers of `nvidia-smi`."""


def visible_gpus_of(devices: Sequence[str]) -> str:
    """What `CUDA_VISIBLE_DEVICES` has to be for a job on these devices."""
    return ",".join(device.removeprefix("cuda:") for device in devices if device != "cpu")


def slots(settings: Settings) -> list[Slot]:
    """`DESCENT_SLOTS_PER_GPU` slots for each GPU, else one for every two cores; `DESCENT_SLOTS` decides otherwise."""
    gpus = visible_gpus()
    default = len(gpus) * settings.slots_per_gpu or max(1, (os.cpu_count() or 1) // 2)
    count = settings.slots or default
    devices = [f"cuda:{gpus[index % len(gpus)]}" if gpus else "cpu" for index in range(count)]
    return [Slot(index, device) for index, device in enumerate(devices)]


def memory_of(devices: Iterable[str]) -> dict[str, int]:
    """Bytes of memory of each device: a GPU's own, or this machine's."""
    wanted = set(devices)
    gpus = dict(zip(_ask_driver("index"), _ask_driver("memory.total"), strict=True)) if wanted != {"cpu"} else {}
    of_gpus = {f"cuda:{index}": int(mebibytes) * 2**20 for index, mebibytes in gpus.items()}
    return {device: of_gpus.get(device, memory_bytes()) for device in wanted}


def resident_bytes(settings: Settings, slots: int) -> int:
    """Most bytes of inputs a job keeps in memory: half of this machine's for all slots together, unless it is set."""
    return settings.resident_bytes or memory_bytes() // (2 * slots)


def visible_gpus() -> list[str]:
    """The GPUs of this machine that this process may use, by number."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [gpu.strip() for gpu in chosen.split(",") if gpu.strip() and gpu.strip() != "-1"]
    return installed_gpus()


def installed_gpus() -> list[str]:
    return _ask_driver("index")


def has_bfloat16(devices: list[str]) -> bool:
    """Whether all these devices compute in bfloat16: every CPU, and GPUs of compute capability 8 or more."""
    if all(device == "cpu" for device in devices):
        return True
    capabilities = [float(capability) for capability in _ask_driver("compute_cap")]
    return bool(capabilities) and min(capabilities) >= 8.0


def await_released(pid: int, seconds: float = 5.0) -> bool:
    """Returns when no GPU is held by a process any more; false if one still is after so long."""
    ends_at = time.monotonic() + seconds
    while str(pid) in _ask_driver("pid", "compute-apps"):
        if time.monotonic() > ends_at:
            return False
        time.sleep(0.1)
    return True


def _ask_driver(column: str, of: str = "gpu") -> list[str]:
    """One value for each GPU of this machine, or for each process on one; none without NVIDIA's driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-{of}={column}", "--format=csv,noheader,nounits"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return answer.stdout.split() if answer.returncode == 0 else []
