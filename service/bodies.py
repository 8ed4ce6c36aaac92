"""Bodies that have to be JSON."""

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from service.context import context


def has_body() -> bool:
    return bool(request.content_length) or "Transfer-Encoding" in request.headers


def json_bytes() -> bytes:
    """The body of this request, which has to be JSON and not too large."""
    if not request.is_json:
        raise UnsupportedMediaType("Send the body as Content-Type: application/json.")
    most = context().settings.body_bytes
    # A chunked body has no length to refuse it by; Flask stops reading it one byte after the limit.
    if (request.content_length or 0) > most or len(body := request.get_data()) > most:
        raise RequestEntityTooLarge(f"The body has more than {most:,} bytes, the most allowed (DESCENT_BODY_BYTES).")
    return body
