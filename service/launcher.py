"""`make serve`: the API and a worker on this machine, from one command. Restarts what dies, and stops both at TERM."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from types import FrameType

from sqlalchemy.exc import OperationalError

from migrations.migrate import migrate
from models.disk import make_private
from models.parent import leave_with_parent
from models.settings import Settings
from service.bootstrap import KEY_FILE, bootstrap_key

log = logging.getLogger(__name__)

STOP_SECONDS = 20
RESTART_SECONDS = 1.0


class Launcher:
    """Two processes, `service.serve` and `workers`, and their environment."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings.model_copy(update={"port": settings.port or free_port(settings.host)})
        self._environment = os.environ | {"DESCENT_PORT": str(self.settings.port)}
        self._stopping = threading.Event()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def run(self) -> None:
        """Serves until TERM or Ctrl-C."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        make_private(self.settings.data)
        if not self._migrate():
            return
        bootstrap_key(self.settings)
        print(self.greeting(), flush=True)
        while not self._stopping.is_set():
            for module in ("service.serve", "workers"):
                self._keep(module)
            self._stopping.wait(RESTART_SECONDS)
        self._stop_all()

    def _migrate(self) -> bool:
        """Waits for a database that starts later than this; false if it is told to stop before."""
        while not self._stopping.is_set():
            try:
                migrate(self.settings.database)
                return True
            except OperationalError as problem:
                log.warning("the database cannot be reached yet: %s", problem.orig)
                self._stopping.wait(RESTART_SECONDS)
        return False

    def greeting(self) -> str:
        """Where it listens, and where the key is."""
        settings = self.settings
        url = f"http://{settings.host}:{settings.port}"
        key = "DESCENT_API_KEY" if settings.api_key else settings.data / KEY_FILE
        where = f"Descent listens on {url}, a dashboard for people there, its contract at {url}/docs."
        return f"{where} The API key is in {key}. Ctrl-C stops it."

    def _keep(self, module: str) -> None:
        """Starts a process that is not there (any more)."""
        process = self._processes.get(module)
        if process is not None and process.poll() is None:
            return
        if process is not None:
            log.error("%s ended with code %s; it is started again", module, process.returncode)
        line = [sys.executable, "-m", module]
        self._processes[module] = subprocess.Popen(
            line,
            env=self._environment,
            start_new_session=True,
            preexec_fn=leave_with_parent,  # noqa: PLW1509
        )

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping.set()

    def _stop_all(self) -> None:
        end = time.monotonic() + STOP_SECONDS
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port(host: str) -> int:
    with socket.socket() as listener:
        listener.bind((host, 0))
        return int(listener.getsockname()[1])
