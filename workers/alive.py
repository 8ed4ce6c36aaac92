"""`python -m workers.alive`: exit code 0 if this host's worker was heard of within its lease. For health checks."""

import socket
import sys

from models.database import Database
from models.settings import read_settings
from models.workers import alive


def main() -> None:
    settings = read_settings()
    with Database(settings.database).read() as connection:
        hosts = {worker["host"] for worker in alive(connection, settings.lease_seconds)}
    sys.exit(0 if socket.gethostname() in hosts else 1)


if __name__ == "__main__":
    main()
