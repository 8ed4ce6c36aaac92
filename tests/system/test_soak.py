"""A short soak; `make chaos` runs the long one."""

from pathlib import Path

import pytest

from tests.system.chaos import soak
from tests.system.servers import BACKENDS


@pytest.mark.long
@pytest.mark.parametrize("backend", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in BACKENDS])
def test_ten_faults_in_a_row_lose_nothing_and_do_nothing_twice(backend: str, tmp_path: Path) -> None:
    wrong = soak(backend, tmp_path, seed=5, faults=10, seconds=30)
    assert not any(wrong.values()), wrong
