"""What a browser may do here: names under which the service answers, pages that may call it, and the headers of all
answers."""

import re
import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Flask, Response, g, request

from models.errors import DescentError
from models.settings import Settings
from service.plots.looks import STYLE_HASH

SAFE = ("GET", "HEAD", "OPTIONS")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
UNREAD = (401, 403, 404, 405, 413, 415, 421, 429)
"""Refusals that may come before the body is read."""
CALLS = "default-src 'none'; frame-ancestors 'none'"
PAGES = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""No script but from files of ours: none in the page, and no eval."""
DRAWINGS = f"default-src 'none'; style-src '{STYLE_HASH}'; frame-ancestors 'none'; sandbox"
"""No script at all, and no style but that of our pictures."""
POLICIES = {"text/html": PAGES, "image/svg+xml": DRAWINGS}
"""By type; for all others CALLS."""
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?", re.ASCII | re.IGNORECASE)


class WrongHost(DescentError):
    """The service is not called so; `DESCENT_HOSTS` lists its names."""


class CrossOrigin(DescentError):
    """A page from elsewhere may not change anything here."""


class Doors:
    """Against pages in a browser that calls this service unasked: by a name that its author points here (DNS
    rebinding), or from another origin. An address needs no list: nobody can point it elsewhere."""

    def __init__(self, settings: Settings) -> None:
        self._public = {name.strip().lower() for name in settings.hosts.split(",") if name.strip()}
        self._names = self._public | {*LOOPBACK, settings.host.lower(), socket.gethostname().lower()}

    def watch(self, app: Flask) -> None:
        """From now on each request is checked, and each answer has the headers."""
        app.before_request(self.check)
        app.after_request(harden)

    def check(self) -> None:
        """
        Raises:
            WrongHost, CrossOrigin
        """
        host = request.headers.get("Host", "")
        if not self._is_ours(host):
            raise WrongHost
        origin = request.headers.get("Origin")
        if origin is not None and request.method not in SAFE and not self._is_from_here(origin, host):
            raise CrossOrigin

    def _is_ours(self, host: str) -> bool:
        parts = HOST.fullmatch(host)
        if parts is None:
            return False
        name = parts[1].strip("[]").lower()
        return name in self._names or "*" in self._public or _is_address(name)

    def _is_from_here(self, origin: str, host: str) -> bool:
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        is_here = parts.netloc.lower() == host.lower() or (parts.hostname or "") in self._public
        return parts.scheme in ("http", "https") and is_here


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def harden(reply: Response) -> Response:
    headers = reply.headers
    left = reply.status_code in UNREAD or g.get("unread", False)
    if left and (request.content_length or "Transfer-Encoding" in request.headers):
        # The server drops a connection whose body was left unread; a client must not send its next request there.
        headers["Connection"] = "close"
    headers["X-Request-Id"] = g.get("request_id", "")
    headers["X-Content-Type-Options"] = "nosniff"
    # With none at all the forms of a page would say that they come from nowhere (`Origin: null`), and be refused.
    headers["Referrer-Policy"] = "same-origin" if reply.mimetype == "text/html" else "no-referrer"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["Content-Security-Policy"] = POLICIES.get(reply.mimetype or "", CALLS)
    if request.path.startswith("/v1/"):
        headers.setdefault("Cache-Control", "no-store")
    return reply
