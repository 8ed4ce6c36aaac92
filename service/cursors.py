"""Opaque cursors of collections: `next` of one page is `after` of the following."""

import base64
import binascii

from models.errors import InvalidDefinition, Problem


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


def wrong_cursor() -> InvalidDefinition:
    hint = "Take `next` of the page before."
    return InvalidDefinition([Problem("/after", "invalid_cursor", "`after` is not a cursor of this list.", hint)])
