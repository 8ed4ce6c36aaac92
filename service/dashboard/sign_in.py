"""`/sign-in` and `/sign-out`: a key for a session's cookie, and back."""

from urllib.parse import urlsplit

from flask import Blueprint, make_response, redirect, render_template, request
from werkzeug.wrappers import Response

from service.auth import cookie_name
from service.context import context
from service.sessions import SECONDS

WRONG = "This is no valid key: not known, expired or taken back."


def add_to(pages: Blueprint) -> None:
    pages.add_url_rule("/sign-in", "sign_in", show_form)
    pages.add_url_rule("/sign-in", "begin", begin, methods=["POST"])
    pages.add_url_rule("/sign-out", "end", end, methods=["POST"])


def show_form() -> Response:
    if context().sessions.caller(request.cookies.get(cookie_name(), "")):
        return redirect(_next(request.args.get("next", "")), 303)
    return _form(request.args.get("next", ""))


def begin() -> Response:
    """Whoever is sent here by a form of another page is refused by its `Origin` (`service/doors.py`)."""
    target = request.form.get("next", "")
    cookie = context().sessions.begin(request.form.get("key", "").strip())
    if cookie is None:
        return _form(target, WRONG, 401)
    reply = redirect(_next(target), 303)
    reply.set_cookie(
        cookie_name(), cookie, max_age=SECONDS, httponly=True, samesite="Strict", secure=_is_https(), path="/"
    )
    return reply


def end() -> Response:
    reply = redirect("/sign-in", 303)
    reply.delete_cookie(cookie_name(), httponly=True, samesite="Strict", secure=_is_https(), path="/")
    return reply


def _form(target: str, wrong: str | None = None, status: int = 200) -> Response:
    return make_response(render_template("sign_in.html", next=_next(target), wrong=wrong), status)


def _next(target: str) -> str:
    """Where to go then: a place of this service and of no other."""
    parts = urlsplit(target)
    is_here = target.startswith("/") and not target.startswith(("//", "/\\")) and not (parts.scheme or parts.netloc)
    return target if is_here and target.isprintable() else "/"


def _is_https() -> bool:
    """A proxy that ends TLS says so. Who makes it up only gets a stricter cookie."""
    return request.is_secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"
