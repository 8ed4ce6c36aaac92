"""`Idempotency-Key`: a POST that is repeated, because its answer was lost, makes nothing a second time."""

from collections.abc import Callable
from typing import Annotated

from flask import Response, g, request
from pydantic import Field

from models.idempotency import Key, KeyTaken, find, fingerprint
from models.json_body import parse
from service.bodies import has_body, json_bytes
from service.context import context
from service.openapi import Header

Printable = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[ -~]+$")]


class KeyHeader(Header):
    key: Annotated[Printable | None, Field(alias="Idempotency-Key")] = None
    """Any text of your choice, a UUID for example. For 24 hours the same key with the same call and body is answered
    with what the first made, as it is now (200), and makes nothing; with another call or body it is 409 `key_reused`,
    and 409 `in_flight` while the first is being answered. A request that was refused does not use its key up."""


def once(header: KeyHeader, make: Callable[[Key | None], Response], again: Callable[[str], Response]) -> Response:
    """The answer of `make`, which writes down the key with what it makes; or of `again`, which is given the id of what
    a request with the same key made before.

    Raises:
        InFlight, KeyReused
    """
    if header.key is None:
        return make(None)
    body = parse(json_bytes()) if has_body() else {}
    key = Key(g.owner, header.key, fingerprint(f"{request.method} {request.path}", body))
    with context().flights.of(key):
        if made := _made(key):
            return again(made)
        try:
            return make(key)
        except KeyTaken:  # by another process, between the two statements
            return again(_made(key) or "")


def _made(key: Key) -> str | None:
    with context().database.read() as connection:
        return find(connection, key)
