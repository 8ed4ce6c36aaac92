"""`python -m service.serve`: the API alone, on granian. What the image runs, and the launcher beside a worker."""

import os
import signal
import sys
import threading
from collections.abc import Callable

from flask import Flask

from models.logs import start_logs
from models.parent import leave_with_parent
from models.settings import InvalidSettings, Settings, read_settings
from models.tracing import open_tracing
from service.app import create_app
from service.context import Context


def command(settings: Settings) -> list[str]:
    """The server's command line."""
    return [
        sys.executable, "-m", "granian", "service.serve:create_served_app",
        "--interface", "wsgi", "--factory", "--host", settings.host, "--port", str(settings.port),
        "--workers", "1", "--blocking-threads", str(settings.threads), "--log-level", "error",
        "--workers-kill-timeout", "5",
    ]  # fmt: skip


def create_served_app() -> Flask:
    """The app in granian's worker process, which would go on listening if granian itself were killed."""
    leave_with_parent(signal.SIGKILL)
    settings = read_settings()
    start_logs("api", settings)
    tracing = open_tracing("api")
    app = create_app(settings, tracing)
    shared: Context = app.extensions["descent"]
    shared.ingests.watch()
    shared.sender.start()
    at_signal(shared.sender.close, shared.watcher.close, *([tracing.flush] if tracing else []))
    return app


def at_signal(*actions: Callable[[], None]) -> None:
    """TERM and Ctrl-C send home all who wait, so that the process has ended within a moment. Granian puts handlers of
    its own in the place of any of ours; whichever is there, Python writes each signal to this pipe."""
    ear, mouth = os.pipe()
    os.set_blocking(mouth, False)
    signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)

    def listen() -> None:
        while os.read(ear, 1)[0] not in (signal.SIGTERM, signal.SIGINT):
            pass
        for act in actions:
            act()

    threading.Thread(target=listen, name="signals", daemon=True).start()


def main() -> None:
    try:
        settings = read_settings()
    except InvalidSettings as error:
        sys.exit(f"descent: {error}")
    # glibc gives each thread a heap of its own, which keeps what one large answer needed: some 15 MB with ONNX Runtime.
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")
    line = command(settings)
    os.execv(line[0], line)  # noqa: S606


if __name__ == "__main__":
    main()
