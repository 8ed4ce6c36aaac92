"""Brings a database to the newest revision: `python -m migrations.migrate`."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from models.disk import make_private
from models.settings import read_settings

FOLDER = Path(__file__).parent


def configuration(url: str) -> Config:
    """Alembic's configuration for one database."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["url"] = url
    return config


def migrate(url: str) -> None:
    """Upgrades to the newest revision. Two at once take turns: a lock, or SQLite's own, guards it."""
    command.upgrade(configuration(url), "head")


def main() -> None:
    settings = read_settings()
    make_private(settings.data)
    migrate(settings.database)


if __name__ == "__main__":
    main()
