"""The embedded broker is a folder, and people remove folders."""

import shutil
from pathlib import Path

import pytest
from kombu import Queue

from models.queue import DOORBELL, create_celery
from models.settings import Settings


def test_a_folder_that_is_removed_is_made_anew_by_who_rings_and_by_who_listens(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    publisher, worker = create_celery(settings, publisher=True), create_celery(settings)
    with worker.connection_for_read() as connection, connection.channel() as channel:
        queue = Queue("descent", channel=channel)
        publisher.send_task(DOORBELL)
        queue.declare()
        assert queue.get(no_ack=True) is not None
        shutil.rmtree(tmp_path / "broker")
        assert queue.get() is None
        assert (tmp_path / "broker" / "messages").is_dir()
        shutil.rmtree(tmp_path / "broker")
        publisher.send_task(DOORBELL)
        assert queue.get(no_ack=True) is not None


def test_a_folder_that_cannot_be_made_is_a_lost_connection(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    (tmp_path / "broker").write_text("in the way")
    worker = create_celery(settings)
    with worker.connection_for_read() as connection, connection.channel() as channel:
        lost = connection.connection_errors
        with pytest.raises(lost):
            Queue("descent", channel=channel).declare()
