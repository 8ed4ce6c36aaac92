"""One running service for each kind of back end: embedded (SQLite and files), and on PostgreSQL and Valkey."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.system.invariants import await_no_process, check_invariants
from tests.system.servers import BACKENDS
from tests.system.stack import Stack

__all__ = ["Stack"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is the same on both back ends is long on the other one."""
    for item in items:
        mark = item.get_closest_marker("quick_on")
        if mark is not None and mark.args[0] not in item.nodeid.rpartition("[")[2]:
            item.add_marker(pytest.mark.long)


@pytest.fixture(scope="session", params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in BACKENDS])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service for all system tests of this process, with servers of its own that a test may take away."""
    with a_stack(request.param, tmp_path_factory.mktemp(request.param)) as stack:
        stack.start()
        yield stack


@contextmanager
def a_stack(name: str, folder: Path, **settings: str) -> Iterator[Stack]:
    """A service on a kind of back end, not started yet. In the end it has to stop well, and to leave no process."""
    backend = BACKENDS[name](folder)
    stack = Stack(folder, backend, **settings)
    yield stack
    assert stack.stop() == 0, stack.log()
    await_no_process(stack)
    backend.close()


@pytest.fixture(autouse=True)
def invariants(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test that uses the service, everything is given back, and the promises are checked."""
    yield
    if "stack" in request.fixturenames:
        stack: Stack = request.getfixturevalue("stack")
        stack.mend()
        check_invariants(stack)


@pytest.fixture
def embedded(stack: Stack) -> Stack:
    """The service on SQLite and files."""
    if stack.backend.name != "embedded":
        pytest.skip("a fault of SQLite and files; docs/reliability.md names its equivalent")
    return stack


@pytest.fixture
def production(stack: Stack) -> Stack:
    """The service on PostgreSQL and Valkey."""
    if stack.backend.name != "production":
        pytest.skip("a fault of PostgreSQL or Valkey; docs/reliability.md names its equivalent")
    return stack


@pytest.fixture
def slow() -> dict[str, Any]:
    """A job that trains for minutes, in steps of milliseconds."""
    return {
        "network": {"family": "dnn", "hidden": [64, 64]},
        "data": {"dataset": "digits"},
        "training": {"epochs": 100_000},
    }


def compiled(name: str, folder: Path) -> str:
    """The library of `<name>.c`, to be preloaded."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    library = folder / f"{name}.so"
    source = Path(__file__).with_name(f"{name}.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return str(library)
