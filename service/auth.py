"""Who calls, and what the key allows."""

from flask import g, request

from models.errors import DescentError
from models.keys import Scope
from service.context import context
from service.doors import SAFE
from service.known_keys import Caller

PUBLIC = ("/healthz", "/readyz", "/openapi.json", "/sign-in", "/favicon.ico", "/assets", "/docs")
"""What answers without a key: these paths, and what lies under the last two."""
TOKEN = "X-CSRF-Token"  # noqa: S105  # the header's name
OURS = (None, "same-origin", "none")
"""`Sec-Fetch-Site` of calls by pages of this service, by people, and by programs that know no such header."""


class Unauthorised(DescentError):
    """This needs an API key: send it as `Authorization: Bearer <key>`."""


class Forbidden(DescentError):
    """The scopes of the key do not allow this."""


class Unconfirmed(DescentError):
    """A session's call that changes something needs the session's token, as its pages send it."""


def authenticate() -> None:
    """Puts into `g` the `caller`; the `owner` of what it makes; whose things it `sees`; and, if it calls by one, the
    cookie of its `session`.

    Raises:
        Unauthorised, Unconfirmed
    """
    if request.path in PUBLIC or request.path.startswith(tuple(f"{path}/" for path in PUBLIC[-2:])):
        return
    caller = _by_key() if "Authorization" in request.headers else _by_session()
    if caller is None:
        raise Unauthorised
    g.caller, g.owner, g.sees = caller, caller.owner, caller.sees


def _by_key() -> Caller | None:
    scheme, _, secret = request.headers["Authorization"].partition(" ")
    return context().keys.find(secret.strip()) if scheme.lower() == "bearer" else None


def _by_session() -> Caller | None:
    cookie = request.cookies.get(cookie_name(), "")
    caller = context().sessions.caller(cookie) if cookie and _is_asked_here() else None
    if caller is None:
        return None
    # A form has no headers; the only one that is sent by a browser itself is to sign out.
    given = request.headers.get(TOKEN) or (request.form.get("token") if request.path == "/sign-out" else None)
    if request.method not in SAFE and not context().sessions.is_token(cookie, given or ""):
        raise Unconfirmed
    g.session = cookie
    return caller


def _is_asked_here() -> bool:
    """Not by a page of another origin: its ports are of the same site, and so SameSite is not enough. Links from
    elsewhere may lead here."""
    is_link = request.headers.get("Sec-Fetch-Mode") == "navigate" and request.method in SAFE
    return is_link or request.headers.get("Sec-Fetch-Site") in OURS


def cookie_name() -> str:
    """Cookies know no ports: of two services on one machine each needs a name of its own."""
    port = request.host.rpartition(":")[2]
    return f"descent_{port}" if port.isdecimal() else "descent"


def require_scope(scope: Scope) -> None:
    """
    Raises:
        Forbidden
    """
    if scope not in g.caller.scopes:
        has = ", ".join(sorted(g.caller.scopes)) or "none"
        raise Forbidden(f"This needs a key with the scope `{scope}`; yours has: {has}.")
