"""The embedded broker under several hands."""

import shutil
from pathlib import Path
from queue import Empty

import pytest
from kombu import Queue

from models.queue import create_connection, ring
from models.settings import Settings
from workers.celery_app import create_celery


def test_a_message_is_there_as_a_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads while another is in the middle of writing finds nothing yet."""
    whole = Path.write_bytes

    def write_half(self: Path, data: bytes) -> int:
        whole(self, data[: len(data) // 2])
        raise OSError

    with create_celery(Settings(data=tmp_path)).connection() as connection:
        channel = connection.default_channel
        with monkeypatch.context() as interrupted:
            interrupted.setattr(Path, "write_bytes", write_half)
            with pytest.raises(OSError):  # noqa: PT011
                channel._put("descent", {"number": 1})
        with pytest.raises(Empty):
            channel._get("descent")
        channel._put("descent", {"number": 2})
        assert channel._get("descent")["number"] == 2


def test_a_torn_file_of_an_exchange_is_written_anew(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    worker = create_celery(settings)
    with worker.connection_for_read() as connection, connection.channel() as channel:
        channel._queue_bind("torn", "key", "", "queue")
        written = channel.get_table("torn")
        (tmp_path / "broker" / "control" / "torn.exchange").write_text("")
        assert channel.get_table("torn") == []
        channel._queue_bind("torn", "key", "", "queue")
        assert channel.get_table("torn") == written != []


def test_a_folder_that_is_removed_is_made_anew_by_who_rings_and_by_who_listens(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    publisher, worker = create_connection(settings), create_celery(settings)
    with worker.connection_for_read() as connection, connection.channel() as channel:
        queue = Queue("descent", channel=channel)
        ring(publisher)
        queue.declare()
        assert queue.get(no_ack=True) is not None
        shutil.rmtree(tmp_path / "broker")
        assert queue.get() is None
        assert (tmp_path / "broker" / "messages").is_dir()
        shutil.rmtree(tmp_path / "broker")
        ring(publisher)
        assert queue.get(no_ack=True) is not None


def test_a_folder_that_cannot_be_made_is_a_lost_connection(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    (tmp_path / "broker").write_text("in the way")
    worker = create_celery(settings)
    with worker.connection_for_read() as connection, connection.channel() as channel:
        lost = connection.connection_errors
        with pytest.raises(lost):
            Queue("descent", channel=channel).declare()
