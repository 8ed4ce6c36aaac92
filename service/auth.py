"""Who calls, and what the key allows. The bootstrap key is admin, and in no table."""

import os
import secrets
import sys

from flask import g, request

from models.errors import DescentError
from models.keys import Scope
from models.settings import Settings
from service.context import context

KEY_FILE = "api-key"
PUBLIC = ("/healthz", "/readyz", "/openapi.json", "/docs")
"""What answers without a key: these paths, and what lies under the last."""


class Unauthorised(DescentError):
    """This needs an API key: send it as `Authorization: Bearer <key>`."""


class Forbidden(DescentError):
    """The scopes of the key do not allow this."""


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


def authenticate() -> None:
    """Puts into `g` the `caller`; the `owner` of what it makes; and whose things it `sees`.

    Raises:
        Unauthorised
    """
    if request.path in PUBLIC or request.path.startswith(f"{PUBLIC[-1]}/"):
        return
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    caller = context().keys.find(secret.strip()) if scheme.lower() == "bearer" else None
    if caller is None:
        raise Unauthorised
    g.caller, g.owner, g.sees = caller, caller.owner, caller.sees


def require_scope(scope: Scope) -> None:
    """
    Raises:
        Forbidden
    """
    if scope not in g.caller.scopes:
        has = ", ".join(sorted(g.caller.scopes)) or "none"
        raise Forbidden(f"This needs a key with the scope `{scope}`; yours has: {has}.")
