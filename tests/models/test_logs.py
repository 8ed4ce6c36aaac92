"""A log is read by machines: each record is a line of JSON that says what it is about, without secrets."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from models.logs import about, formatter
from models.masking import mask_logs
from models.settings import InvalidSettings, Settings, read_settings
from models.trail import NO_TRAIL, Trail, follow, trail

KEY = "dsc_94zhGLLNvkI193FHh8HwCS9Qt1h4nykPoEhHRl6lPto"
TRAIL = Trail("req-1", f"00-{'a' * 32}-{'b' * 16}-01")


class Lines(logging.Handler):
    """What a process would write."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(formatter("worker", is_json=True))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def last(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.lines[-1])
        return found


@pytest.fixture
def lines() -> Iterator[Lines]:
    before = logging.getLogRecordFactory()
    mask_logs()
    follow(NO_TRAIL)  # the last request of another test left its own
    log, handler = logging.getLogger("descent.test"), Lines()
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield handler
    log.removeHandler(handler)
    logging.setLogRecordFactory(before)


log = logging.getLogger("descent.test")


def test_a_record_is_one_line_of_json(lines: Lines) -> None:
    log.warning("%s of\ntwo lines", 3)
    assert "\n" not in lines.lines[-1]
    said = lines.last
    assert said.pop("time").endswith("Z")
    assert said.pop("pid") > 0
    assert said == {"level": "warning", "logger": "descent.test", "process": "worker", "message": "3 of\ntwo lines"}


def test_it_says_of_which_request_trace_and_job_it_is(lines: Lines) -> None:
    with about(TRAIL, job_id="job_1", attempt=2):
        log.info("now")
        assert {name: lines.last.get(name) for name in ("request_id", "trace_id", "job_id", "attempt")} == {
            "request_id": "req-1",
            "trace_id": "a" * 32,
            "job_id": "job_1",
            "attempt": 2,
        }
    log.info("later")
    assert not {"request_id", "trace_id", "job_id", "attempt"} & lines.last.keys()


def test_what_one_thread_is_about_no_other_is(lines: Lines) -> None:
    with about(TRAIL, job_id="job_1"):
        thread = threading.Thread(target=lambda: log.info("beside"))
        thread.start()
        thread.join()
    assert "job_id" not in lines.last
    assert trail() == NO_TRAIL


def test_what_a_record_has_besides_its_message_is_a_field(lines: Lines) -> None:
    log.info("answered", extra={"status": 200, "key": "key_1"})
    assert (lines.last["status"], lines.last["key"]) == (200, "key_1")


def test_secrets_are_neither_in_messages_nor_in_tracebacks(lines: Lines) -> None:
    log.info("the key %s", KEY)
    assert lines.last["message"] == "the key dsc_94zhGLLN***"
    try:
        raise ValueError(f"no postgresql://me:pass@db/x with {KEY}")
    except ValueError:
        log.exception("it failed")
    assert "ValueError: no postgresql://me:***@db/x" in lines.last["exception"]
    assert not [secret for secret in (KEY, ":pass@") if secret in "".join(lines.lines)]


def test_people_are_told_in_words() -> None:
    record = logging.LogRecord("a", logging.INFO, "", 0, "hello %s", ("you",), None)
    assert formatter("api", is_json=False).format(record).endswith(" api INFO hello you")


def test_nothing_that_a_client_sends_looks_like_a_line_or_moves_a_cursor() -> None:
    sent = "/v1/a\n2026-11-26 api ERROR false\x1b[2J\r\x9b2J\tü"
    record = logging.LogRecord("a", logging.INFO, "", 0, "GET %s", (sent,), None)
    said = formatter("api", is_json=False).format(record)
    assert said.endswith("GET /v1/a\n  2026-11-26 api ERROR false\\x1b[2J\\x0d\\x9b2J\tü")


def test_a_process_logs_to_stderr_at_its_level_and_libraries_only_what_matters() -> None:
    script = """
import logging
from models.logs import start_logs
from models.settings import read_settings
start_logs("api", read_settings())
logging.getLogger("service.x").debug("hidden")
logging.getLogger("service.x").info("shown")
logging.getLogger("celery.worker").info("hidden")
import warnings
warnings.warn("a warning of a library")
logging.getLogger("celery.worker").warning("shown too, with key-of-the-settings-0123456789abcdef")
"""
    environment = {"DESCENT_API_KEY": "key-of-the-settings-0123456789abcdef"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    said = [json.loads(line)["message"] for line in done.stderr.splitlines()]
    assert "a warning of a library" in said.pop(1)
    assert said == ["shown", "shown too, with ***"]
    assert done.stdout == ""


@pytest.mark.parametrize("given", [{"DESCENT_LOG_LEVEL": "loud"}, {"DESCENT_LOG_FORMAT": "xml"}])
def test_another_level_or_format_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(InvalidSettings, match=next(iter(given))):
        read_settings(given)
    assert Settings().log_format == "auto"
