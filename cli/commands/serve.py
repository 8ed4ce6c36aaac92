"""`descent serve`: a service on this machine."""

import os
import sys

import click


@click.command()
@click.option("--host", help="Address to listen on; default: 127.0.0.1 (DESCENT_HOST).")
@click.option("--port", type=click.IntRange(0, 65535), help="0: any that is free; default: 8700 (DESCENT_PORT).")
@click.option("--data", type=click.Path(file_okay=False), help="Folder of data and key; default: ./var (DESCENT_DATA).")
def serve(host: str | None, port: int | None, data: str | None) -> None:
    """API and worker on this machine, in the foreground until Ctrl-C.

    All other settings are read from the environment (docs/settings.md).
    """
    given = {"DESCENT_HOST": host, "DESCENT_PORT": port, "DESCENT_DATA": data}
    os.environ.update({name: str(value) for name, value in given.items() if value is not None})
    # A folder `service` where this is called is not the one that is meant.
    os.environ["PYTHONSAFEPATH"] = "1"
    # In the place of this process: it gets the signals, and the service is not imported here.
    os.execv(sys.executable, [sys.executable, "-m", "service"])  # noqa: S606
