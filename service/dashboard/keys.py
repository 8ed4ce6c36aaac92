"""`/keys`: API keys, for admins."""

from flask import Blueprint, render_template, request

from models import keys
from models.keys import Scope
from service.api.keys import show_key
from service.auth import require_scope
from service.context import context
from service.cursors import decode_id, encode_cursor

PAGE = 100


def add_to(pages: Blueprint) -> None:
    pages.add_url_rule("/keys", "keys", show_page)


def show_page() -> str:
    """
    Raises:
        Forbidden, InvalidDefinition
    """
    require_scope(Scope.ADMIN)
    place = decode_id(request.args.get("after"))
    with context().database.read() as connection:
        rows = keys.list_keys(connection, place, PAGE + 1)
    following = encode_cursor(rows[PAGE - 1].id) if len(rows) > PAGE else None
    return render_template("keys.html", keys=[show_key(row) for row in rows[:PAGE]], following=following, scopes=Scope)
