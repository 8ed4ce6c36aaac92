"""No secret is in a log, nor in what is said of a wrong setting."""

import logging
from collections.abc import Iterator

import pytest

from models.masking import mask_logs, masked
from models.settings import InvalidSettings, read_settings

KEY = "dsc_94zhGLLNvkI193FHh8HwCS9Qt1h4nykPoEhHRl6lPto"
BOOTSTRAP = "a-key-of-our-own-with-32-characters!"


@pytest.fixture
def _masked_logs() -> Iterator[None]:
    before = logging.getLogRecordFactory()
    mask_logs(BOOTSTRAP)
    yield
    logging.setLogRecordFactory(before)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"the key {KEY}.", "the key dsc_94zhGLLN***."),
        (f"Authorization: Bearer {KEY}", "Authorization: Bearer dsc_94zhGLLN***"),
        ("bearer abcdef", "bearer ***"),
        ("signed by whsec_MfKQ9r8GKYqrTwjUPD8I/LPZIo2LaLa+Sw==.", "signed by whsec_***."),
        ("postgresql+psycopg://me:pass@db:5432/x", "postgresql+psycopg://me:***@db:5432/x"),
        ("redis://:pass@cache/0", "redis://:***@cache/0"),
        ("http://127.0.0.1:8700/v1/jobs", "http://127.0.0.1:8700/v1/jobs"),
        ("job_01m8bvp6erh2dhnvgmp2f5efkm", "job_01m8bvp6erh2dhnvgmp2f5efkm"),
    ],
)
def test_what_is_secret_is_masked_and_nothing_else(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.usefixtures("_masked_logs")
def test_logs_and_tracebacks_have_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("descent.test")
    log.warning("%s came with %s", KEY, BOOTSTRAP)
    try:
        raise ValueError(f"cannot reach postgresql://me:pass@db/x with {KEY}")
    except ValueError:
        log.exception("it failed")
    assert "it failed" in caplog.text
    assert "dsc_94zhGLLN***" in caplog.text
    assert not [secret for secret in (KEY, BOOTSTRAP, ":pass@") if secret in caplog.text]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_KEY", "short-secret"),
        ("DATABASE_URL", "\ud800"),
        ("BROKER_URL", "\ud800"),
        ("STORAGE_URL", "x://me:pass@b"),
    ],
)
def test_a_wrong_setting_that_may_be_secret_is_named_but_not_shown(name: str, value: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        read_settings({f"DESCENT_{name}": value, "DESCENT_PORT": "x"})
    assert "DESCENT_PORT='x'" in str(refused.value)
    assert value not in str(refused.value)
