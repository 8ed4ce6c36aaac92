"""`python -m service`: the whole service on this machine."""

import logging
import sys

from models.masking import mask_logs
from models.settings import InvalidSettings, read_settings
from service.launcher import Launcher


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s launcher %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        settings = read_settings()
    except InvalidSettings as error:
        sys.exit(f"descent: {error}")
    mask_logs(settings.api_key)
    Launcher(settings).run()


if __name__ == "__main__":
    main()
