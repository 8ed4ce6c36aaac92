"""The bootstrap key that a first start makes: for who runs the service, and nobody else."""

import logging
from pathlib import Path

import pytest

from models.settings import Settings
from service.bootstrap import KEY_FILE, bootstrap_key


def test_a_first_start_makes_a_key_that_only_its_user_can_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(data=tmp_path / "var")
    with caplog.at_level(logging.INFO):
        key = bootstrap_key(settings)
    path = settings.data / KEY_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert settings.data.stat().st_mode & 0o777 == 0o700
    assert str(path) in caplog.text
    assert key not in caplog.text + "".join(capfd.readouterr())
    assert bootstrap_key(settings) == key
