"""Bodies that have to be JSON."""

from typing import TypeVar

from flask import request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from models.admission import problems_of
from models.errors import InvalidDefinition
from models.json_body import parse
from service.context import context

Body = TypeVar("Body", bound=BaseModel)


def has_body() -> bool:
    return bool(request.content_length) or "Transfer-Encoding" in request.headers


def json_bytes() -> bytes:
    """The body of this request, which has to be JSON and not too large."""
    if not request.is_json:
        raise UnsupportedMediaType("Send the body as Content-Type: application/json.")
    return bounded_bytes(context().settings.body_bytes, "DESCENT_BODY_BYTES")


def bounded_bytes(most: int, setting: str) -> bytes:
    """The body of this request, which has to be no larger than this setting says."""
    # A chunked body has no length to refuse it by; Flask stops reading it one byte after the limit.
    request.max_content_length = most + 1
    if (request.content_length or 0) > most or len(body := request.get_data()) > most:
        raise RequestEntityTooLarge(f"The body has more than {most:,} bytes, the most allowed ({setting}).")
    return body


def optional_body(model: type[Body]) -> Body:
    return read_body(model) if has_body() else model()


def read_body(model: type[Body]) -> Body:
    """The body of this request, of this form.

    Raises:
        NotJson, InvalidDefinition
    """
    value = parse(json_bytes())
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidDefinition(problems_of(error, value)) from error
