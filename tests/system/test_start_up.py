"""The parts of a service may be started in any order."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.invariants import await_no_process, check_invariants
from tests.system.servers import Production
from tests.system.stack import Stack

TINY: dict[str, Any] = {
    "network": {"family": "dnn", "hidden": [4]},
    "data": {"dataset": "xor"},
    "training": {"epochs": 2},
}


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Stack]:
    """A service that was never started, and whose servers do not run."""
    backend = Production(tmp_path)
    backend.database.kill()
    backend.broker.kill()
    stack = Stack(tmp_path, backend)
    yield stack
    stack.stop()
    await_no_process(stack)
    backend.close()


@pytest.mark.xdist_group("production")
@pytest.mark.fault(9)
def test_a_service_that_starts_before_its_database_and_broker_waits_for_them(fresh: Stack) -> None:
    fresh.launch()
    time.sleep(3)
    fresh.database.start()
    fresh.await_ready()
    assert fresh.train(TINY)["status"] == "succeeded"
    fresh.broker.start()
    assert fresh.train(TINY)["status"] == "succeeded"
    check_invariants(fresh)
