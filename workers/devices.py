"""The slots of this machine: where a job may run. Counts GPUs without CUDA, which a fork would not survive."""

import os
import shutil
import subprocess
from dataclasses import dataclass

from models.machine import memory_bytes
from models.settings import Settings


@dataclass(frozen=True)
class Slot:
    """A place where one job may run."""

    index: int
    device: str
    """`cpu`, or `cuda:<n>` by the numbers of `nvidia-smi`."""

    @property
    def visible_gpu(self) -> str:
        """What `CUDA_VISIBLE_DEVICES` has to be for a job here."""
        return self.device.removeprefix("cuda:") if self.device != "cpu" else ""


def slots(settings: Settings) -> list[Slot]:
    """One slot for each GPU, else one for every two cores; `DESCENT_SLOTS` decides otherwise."""
    gpus = visible_gpus()
    count = settings.slots or len(gpus) or max(1, (os.cpu_count() or 1) // 2)
    devices = [f"cuda:{gpus[index % len(gpus)]}" if gpus else "cpu" for index in range(count)]
    return [Slot(index, device) for index, device in enumerate(devices)]


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


def _ask_driver(column: str) -> list[str]:
    """One value for each GPU of this machine; none without NVIDIA's driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={column}", "--format=csv,noheader"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return answer.stdout.split() if answer.returncode == 0 else []
