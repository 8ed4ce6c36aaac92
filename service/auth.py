"""Who calls, and what the key allows."""

from flask import g, request

from models.errors import DescentError
from models.keys import Scope
from service.context import context

PUBLIC = ("/healthz", "/readyz", "/openapi.json", "/docs")
"""What answers without a key: these paths, and what lies under the last."""


class Unauthorised(DescentError):
    """This needs an API key: send it as `Authorization: Bearer <key>`."""


class Forbidden(DescentError):
    """The scopes of the key do not allow this."""


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
