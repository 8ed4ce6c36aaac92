"""`python -m workers`: a worker with all slots of this machine, until TERM."""

import logging
import subprocess
import sys

from models.masking import mask_logs
from models.settings import InvalidSettings, read_settings
from workers import process
from workers.app import create_worker


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s worker %(levelname)s %(message)s", stream=sys.stderr)
    try:
        settings = read_settings()
    except InvalidSettings as error:
        sys.exit(f"descent: {error}")
    mask_logs(settings.api_key)
    process.start_server()
    folder = settings.data.absolute() / "datasets"
    # In a process of its own: scikit-learn would cost the worker 100 MB for as long as it lives.
    subprocess.run([sys.executable, "-m", "workers.datasets.bundled", str(folder)], check=True)
    worker = create_worker(settings).Worker(pool="threads", concurrency=1, loglevel="WARNING", quiet=True)
    worker.start()
    sys.exit(worker.exitcode)


if __name__ == "__main__":
    main()
