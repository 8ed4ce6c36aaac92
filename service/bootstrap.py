"""The bootstrap key, which is admin and in no table: with it the first other keys are made."""

import logging
import os
import secrets

from models.disk import make_private
from models.settings import Settings

log = logging.getLogger(__name__)

KEY_FILE = "api-key"


def bootstrap_key(settings: Settings) -> str:
    """The bootstrap key: the setting, or the one in the data folder, made now if there is none."""
    if settings.api_key:
        return settings.api_key
    path = settings.data / KEY_FILE
    make_private(settings.data)
    # Written aside and linked into place: of two processes at once both read the key of one, and never half of it.
    draft = settings.data / f".{KEY_FILE}-{os.getpid()}-{secrets.token_hex(4)}"
    if not path.exists():
        draft.touch(mode=0o600)
        draft.write_text(f"dsc_{secrets.token_urlsafe(32)}\n")
        try:
            os.link(draft, path)
            log.info("made an API key, kept in %s", path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
