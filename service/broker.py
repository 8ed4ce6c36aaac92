"""Whether the broker answers."""

from pathlib import Path

from models.queue import create_connection, is_folder
from models.settings import Settings


def broker_answers(settings: Settings) -> bool:
    """Within a second or so."""
    if is_folder(settings):
        return Path(settings.data, "broker", "messages").is_dir()
    try:
        with create_connection(settings, connect_timeout=1) as connection:
            connection.ensure_connection(max_retries=1, timeout=1, reraise_as_library_errors=False)
            connection.default_channel.client.ping()
    except Exception:
        return False
    return True
