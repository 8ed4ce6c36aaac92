"""What removes files: beside runners that write, and when the worker leaves."""

import os
import threading
from pathlib import Path

import pytest

from models.database import Database
from models.reports import Checkpointed
from models.settings import Settings
from workers.checkpoint_files import CheckpointFiles, folder_of
from workers.collector import Collector


def test_a_file_that_is_renamed_meanwhile_stops_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path, "job_a")
    folder.mkdir(parents=True)
    for seconds, name in enumerate(("1-10-1.pt", "1-20-2.pt")):
        (folder / name).touch()
        os.utime(folder / name, (seconds, seconds))
    listed = [folder / "1-30-3.tmp", *folder.iterdir()]
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter(listed))
    CheckpointFiles(tmp_path, "job_a").collect([Checkpointed("1-20-2.pt", 20, 2, 0, 0.0)])
    assert not (folder / "1-10-1.pt").exists()
    assert (folder / "1-20-2.pt").exists()


def test_a_collector_that_hangs_holds_up_no_leaving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(f"sqlite:///{tmp_path / 'descent.db'}")
    collector, thawed = Collector(database, Settings(data=tmp_path)), threading.Event()
    monkeypatch.setattr(collector, "_collect", thawed.wait)
    collector.start()
    stopping = threading.Thread(target=collector.stop)
    stopping.start()
    stopping.join(5)
    hung = stopping.is_alive()
    thawed.set()
    stopping.join()
    database.close()
    assert not hung
