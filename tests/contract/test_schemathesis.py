"""The whole contract as schemathesis reads it: no answer of 500, none that is not documented, nothing of another owner.

Bounded; `make schemathesis` takes longer, and finds more.
"""

from collections.abc import Iterator

import pytest

from tests.contract.fuzz import PHASES, Target

pytestmark = pytest.mark.long
"""It finds something else each time, and takes a minute."""

SECONDS = 14


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    target = Target(tmp_path_factory.mktemp("contract"))
    yield target
    target.close()


@pytest.mark.xdist_group("contract")
@pytest.mark.parametrize("phases", PHASES)
def test_schemathesis_finds_nothing(target: Target, phases: str) -> None:
    done = target.fuzz(phases, SECONDS, seed=1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
    assert "Traceback" not in target.log.read_text()


@pytest.mark.xdist_group("contract")
def test_an_id_of_another_would_be_noticed(target: Target) -> None:
    """As the owner whose ids are the others', who does get at them."""
    (first, ids), (_, ours) = target.an_owner(), target.an_owner()
    target.owners = [(first, ids), (first, ours)]
    done = target.fuzz("coverage", 15, seed=1)
    assert done.returncode == 1
    assert "of another" in done.stdout
