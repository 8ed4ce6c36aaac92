"""The embedded broker under several hands."""

import threading
from pathlib import Path
from queue import Empty

from models.queue import create_celery
from models.settings import Settings

MESSAGES = 1000


def test_who_reads_while_another_writes_never_sees_half_a_message(tmp_path: Path) -> None:
    app = create_celery(Settings(data=tmp_path))
    heard = []
    with app.connection() as connection, app.connection() as other:
        reader, writer = connection.default_channel, other.default_channel

        def write() -> None:
            for number in range(MESSAGES):
                writer._put("descent", {"body": "x" * 5000, "number": number})

        thread = threading.Thread(target=write)
        thread.start()
        while thread.is_alive() or len(heard) < MESSAGES:
            try:
                heard.append(reader._get("descent")["number"])
            except Empty:
                continue
        thread.join()
    assert sorted(heard) == list(range(MESSAGES))
