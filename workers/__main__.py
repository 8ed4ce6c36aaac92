"""`python -m workers`: a worker with all slots of this machine, until TERM."""

import subprocess
import sys

from celery import signals

from models.logs import start_logs
from models.settings import InvalidSettings, read_settings
from models.tracing import open_tracing
from workers import process
from workers.app import create_worker


def leave_logs(**said: object) -> None:
    """As they are."""


def main() -> None:
    try:
        settings = read_settings()
    except InvalidSettings as error:
        sys.exit(f"descent: {error}")
    start_logs("worker", settings)
    # Whoever hears this signal logs as they like; else Celery would set the level of all.
    signals.setup_logging.connect(leave_logs)
    process.start_server()
    folder = settings.data.absolute() / "datasets"
    # In a process of its own: scikit-learn would cost the worker 100 MB for as long as it lives.
    subprocess.run([sys.executable, "-m", "workers.datasets.bundled", str(folder)], check=True)
    tracing = open_tracing("worker")
    worker = create_worker(settings, tracing).Worker(pool="threads", concurrency=1, loglevel="WARNING", quiet=True)
    worker.start()
    if tracing:
        tracing.flush()
    sys.exit(worker.exitcode)


if __name__ == "__main__":
    main()
