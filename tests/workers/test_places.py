"""What a worker offers, with slots on the CPU and on GPUs that may be shared."""

import os
import stat
from pathlib import Path

import pytest

from models.claims import Claim
from models.settings import Settings
from workers import devices
from workers.devices import Slot, memory_of, visible_gpus_of
from workers.places import Places

GIB = 2**30
NVIDIA_SMI = """#!/bin/sh
case "$1" in
  --query-gpu=index) printf '0\\n1\\n' ;;
  --query-gpu=memory.total) printf '81559\\n40960\\n' ;;
  --query-gpu=compute_cap) printf '9.0\\n8.0\\n' ;;
  --query-compute-apps=pid) cat "$PIDS" ;;
esac
"""


def places(*names: str, memory: int = 10 * GIB) -> Places:
    return Places([Slot(index, name) for index, name in enumerate(names)], dict.fromkeys(names, memory))


def a_claim(*names: str, memory: int = 0) -> Claim:
    return Claim("job_1", 1, {}, 0.0, memory_bytes=memory, devices=names)


def test_a_worker_without_a_free_slot_offers_nothing_until_one_is_free() -> None:
    here = places("cpu", "cpu")
    claims = [a_claim("cpu"), a_claim("cpu")]
    for claim in claims:
        assert here.offer() is not None
        here.take(claim)
    assert here.offer() is None
    assert here.free(claims[0])
    assert here.offer() is not None
    assert not here.free(claims[0])


def test_slots_on_the_cpu_share_the_memory_of_the_machine() -> None:
    here = places("cpu", "cpu", "cpu")
    here.take(a_claim("cpu", "cpu", memory=3 * GIB))
    offer = here.offer()
    assert offer is not None
    assert (offer.device, offer.idle, offer.slots) == ("cpu", ("cpu",), 3)
    assert (offer.free_memory, offer.memory) == (4 * GIB, 10 * GIB)


def test_the_gpu_with_most_free_memory_comes_first_and_only_idle_ones_serve_a_job_of_several() -> None:
    here = places("cuda:0", "cuda:0", "cuda:1", "cuda:1")
    here.take(a_claim("cuda:0", memory=2 * GIB))
    offer = here.offer()
    assert offer is not None
    assert (offer.device, offer.free_memory) == ("cuda:1", 10 * GIB)
    assert (offer.idle, offer.slots) == (("cuda:1",), 2)
    here.take(a_claim("cuda:1", memory=5 * GIB))
    offer = here.offer()
    assert offer is not None
    assert (offer.device, offer.free_memory, offer.idle) == ("cuda:0", 8 * GIB, ())


def test_a_job_of_two_gpus_holds_a_slot_on_each() -> None:
    here = places("cuda:0", "cuda:1")
    here.take(a_claim("cuda:0", "cuda:1"))
    assert here.offer() is None
    assert visible_gpus_of(("cuda:0", "cuda:1")) == "0,1"
    assert visible_gpus_of(("cpu", "cpu")) == ""


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that answers like NVIDIA's on a machine with two GPUs; gives the file of the processes on them."""
    program, pids = tmp_path / "nvidia-smi", tmp_path / "pids"
    program.write_text(NVIDIA_SMI)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    pids.write_text("")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PIDS", str(pids))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return pids


def test_each_gpu_has_its_slots_and_its_memory(driver: Path) -> None:
    shared = devices.slots(Settings(slots_per_gpu=2))
    assert [slot.device for slot in shared] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert memory_of(slot.device for slot in shared) == {"cuda:0": 81_559 * 2**20, "cuda:1": 40_960 * 2**20}
    assert devices.has_bfloat16(["cuda:0", "cuda:1"])


def test_a_gpu_is_released_when_the_driver_lists_the_process_no_more(driver: Path) -> None:
    driver.write_text("4711\n")
    assert devices.await_released(42)
    assert not devices.await_released(4711, seconds=0.2)
