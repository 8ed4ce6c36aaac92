"""Settings that do not go together are refused by name."""

import pytest

from models.settings import InvalidSettings, read_settings


@pytest.mark.parametrize("given", [{"DESCENT_WAITERS": "320"}, {"DESCENT_THREADS": "200"}])
def test_those_who_wait_must_leave_threads_to_others(given: dict[str, str]) -> None:
    with pytest.raises(InvalidSettings, match=r"DESCENT_THREADS=.*DESCENT_WAITERS"):
        read_settings(given)
    assert read_settings({"DESCENT_WAITERS": "1", "DESCENT_THREADS": "2"}).waiters == 1
