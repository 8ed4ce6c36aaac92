"""Opaque cursors of collections: `next` of one page is `after` of the following."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from flask import Response, jsonify

from models.errors import InvalidDefinition
from models.ids import is_id

Item = TypeVar("Item")


def encode_cursor(place: str) -> str:
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> str | None:
    """The place a cursor stands for.

    Raises:
        InvalidDefinition: it was not made by `encode_cursor`.
    """
    if cursor is None:
        return None
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise wrong_cursor() from None


def decode_id(cursor: str | None) -> str | None:
    """The id behind which a list goes on.

    Raises:
        InvalidDefinition
    """
    place = decode_cursor(cursor)
    if place is not None and not is_id(place):
        raise wrong_cursor()
    return place


def answer_page(found: Sequence[Item], limit: int, show: Callable[[Item], dict[str, Any]]) -> Response:
    """A page of what was found, which is one more than the limit where the list goes on."""
    items = [show(item) for item in found[:limit]]
    return jsonify(items=items, next=encode_cursor(str(items[-1]["id"])) if len(found) > limit else None)


def wrong_cursor() -> InvalidDefinition:
    hint = "Take `next` of the page before."
    return InvalidDefinition.at("/after", "invalid_cursor", "`after` is not a cursor of this list.", hint)
