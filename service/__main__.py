"""`python -m service`: the whole service on this machine."""

import sys

from models.logs import start_logs
from models.settings import InvalidSettings, read_settings
from service.launcher import Launcher


def main() -> None:
    try:
        settings = read_settings()
    except InvalidSettings as error:
        sys.exit(f"descent: {error}")
    start_logs("launcher", settings)
    Launcher(settings).run()


if __name__ == "__main__":
    main()
