"""Settings that do not go together are refused by name."""

import pytest

from models.settings import InvalidSettings, read_settings


def test_a_variable_of_the_command_line_is_no_wrong_setting(capsys: pytest.CaptureFixture[str]) -> None:
    read_settings({"DESCENT_URL": "http://127.0.0.1:8700", "DESCENT_URLS": "x"})
    assert capsys.readouterr().err == "descent: DESCENT_URLS is not a setting; it is ignored\n"


@pytest.mark.parametrize("given", [{"DESCENT_WAITERS": "320"}, {"DESCENT_THREADS": "200"}])
def test_those_who_wait_must_leave_threads_to_others(given: dict[str, str]) -> None:
    with pytest.raises(InvalidSettings, match=r"DESCENT_THREADS=.*DESCENT_WAITERS"):
        read_settings(given)
    assert read_settings({"DESCENT_WAITERS": "1", "DESCENT_THREADS": "2"}).waiters == 1
