"""API keys: who calls. For now there is one, the bootstrap key, which is admin."""

import hashlib
import hmac
import os
import secrets
import sys

from flask import Flask, current_app, g, request

from models.errors import DescentError
from models.settings import Settings

BOOTSTRAP = "key_bootstrap"
KEY_FILE = "api-key"
PUBLIC = ("/healthz", "/readyz", "/openapi.json", "/docs")
"""What answers without a key: these paths, and what lies under the last."""


class Unauthorised(DescentError):
    """This needs an API key: send it as `Authorization: Bearer <key>`."""


def bootstrap_key(settings: Settings) -> str:
    """The bootstrap key: the setting, or the one in the data folder, made now if there is none."""
    if settings.api_key:
        return settings.api_key
    path = settings.data / KEY_FILE
    settings.data.mkdir(parents=True, exist_ok=True)
    # Written aside and linked into place: of two processes at once both read the key of one, and never half of it.
    draft = settings.data / f".{KEY_FILE}-{os.getpid()}-{secrets.token_hex(4)}"
    if not path.exists():
        draft.touch(mode=0o600)
        draft.write_text(f"dsc_{secrets.token_urlsafe(32)}\n")
        try:
            os.link(draft, path)
            print(f"descent: made an API key, kept in {path}: {path.read_text().strip()}", file=sys.stderr)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()


def require_keys(app: Flask, key: str) -> None:
    """From now on every path but the public ones needs the key. Only its hash is kept."""
    app.config["KEY_HASH"] = _hash(key)
    app.before_request(authenticate)


def authenticate() -> None:
    """Puts the id of the caller's key into `g.owner`.

    Raises:
        Unauthorised
    """
    if request.path in PUBLIC or request.path.startswith(f"{PUBLIC[-1]}/"):
        return
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(_hash(key.strip()), current_app.config["KEY_HASH"]):
        raise Unauthorised
    g.owner = BOOTSTRAP


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
