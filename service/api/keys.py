"""`/v1/keys`: API keys, for admins."""

import time
from typing import Annotated, Any

from flask import Response, jsonify
from pydantic import AfterValidator, Field
from sqlalchemy import Row

from models import keys
from models.definitions.base import Several, Strict
from models.errors import InvalidDefinition
from models.ids import is_id
from models.keys import BOOTSTRAP, Scope
from service.api.jobs import Text
from service.bodies import optional_body, read_body
from service.context import context
from service.cursors import answer_page, decode_id
from service.openapi import Page, Parts, Query, answers, blueprint, json_request
from service.path_ids import id_of
from service.replies import KeyReply, KeysReply, NewKeyReply
from service.times import rfc3339, seconds_of

api = blueprint("keys", "API keys, for admins.", scope=Scope.ADMIN)

DAY_SECONDS = 86_400.0
SHOWN = ("id", "owner", "name", "scopes", "prefix", "replaces")


def _future(text: str) -> str:
    if seconds_of(text) <= time.time():
        raise ValueError("It should be a time to come.")
    return text


def _owner(text: str) -> str:
    if text != BOOTSTRAP and not is_id(text):
        raise ValueError("It should be the `owner` of a key.")
    return text


Time = Annotated[str, Field(max_length=40), AfterValidator(_future)]


class KeyPath(Parts):
    key_id: Annotated[str, id_of("key")]
    """`key_` and 26 characters."""


class KeyBody(Strict):
    """A new key."""

    name: Text
    """For people."""
    scopes: Annotated[Several[Annotated[Scope, Field(strict=False)]], Field(min_length=1, max_length=len(Scope))]
    """`read` asks and predicts, `write` stores and changes, `metrics` reads `/metrics` and nothing else, `admin` does
    all of it for all owners and manages keys. A key that is to see what it submits needs `read` too."""
    owner: Annotated[str, Field(max_length=40), AfterValidator(_owner)] | None = None
    """The `owner` of another key, to share its jobs, data sets and limits; default: this key is an owner of its own."""
    expires_at: Time | None = None
    """RFC 3339; default: never."""


class RotationBody(Strict):
    """How the new key takes the place of the old one."""

    overlap_seconds: Annotated[float, Field(ge=0, le=30 * DAY_SECONDS)] = DAY_SECONDS
    """For so long both hold."""
    expires_at: Time | None = None
    """Of the new one; default: after as long a life as the old one had."""


EXAMPLES = {
    "a team": {"name": "vision team", "scopes": ["read", "write"]},
    "a dashboard": {"name": "screen", "scopes": ["read"], "owner": "key_01jz8k3v9q4r5s6t7v8w9x0y1z"},
}
NEW_KEY = answers(201, NewKeyReply, 400, 404, 409, 413, 415, 422)


@api.post(
    "/v1/keys",
    summary="Make a key",
    request_body=json_request(KeyBody, EXAMPLES),
    responses=answers(201, NewKeyReply, 400, 413, 415, 422),
)
def create_key(query: Query) -> Response:
    """The answer has the `secret`, which is shown this once and kept nowhere."""
    body = read_body(KeyBody)
    with context().database.write() as connection:
        if body.owner is not None and not keys.owns_something(connection, body.owner):
            detail = f"{body.owner} owns no key, job or data set."
            raise InvalidDefinition.at("/owner", "unknown_owner", detail, "Take the `owner` of a key.")
        made = keys.create(connection, body.name, body.scopes, body.owner, _seconds(body.expires_at))
    return _answer_new(*made)


@api.get("/v1/keys", summary="All keys, newest first", responses=answers(200, KeysReply, 422))
def list_keys(query: Page) -> Response:
    """Those that have expired too. `DESCENT_API_KEY` is not among them: it is a setting."""
    before = decode_id(query.after)
    with context().database.read() as connection:
        rows = keys.list_keys(connection, before, query.limit + 1)
    return answer_page(rows, query.limit, show_key)


@api.get("/v1/keys/<key_id>", summary="One key", responses=answers(200, KeyReply, 404, 422))
def get_key(path: KeyPath, query: Query) -> Response:
    """Never with its secret, which was shown once, when it was made."""
    with context().database.read() as connection:
        return jsonify(show_key(keys.find(connection, path.key_id)))


@api.post(
    "/v1/keys/<key_id>/rotate",
    summary="Replace a key",
    request_body=json_request(RotationBody, {"a day": {}, "at once": {"overlap_seconds": 0}}, required=False),
    responses=NEW_KEY,
)
def rotate_key(path: KeyPath, query: Query) -> Response:
    """A new key of the same owner, name and scopes, so that nothing changes hands. The old one expires after the
    overlap, or when it would have anyway."""
    body = optional_body(RotationBody)
    shared = context()
    with shared.database.write() as connection:
        old = keys.find(connection, path.key_id)
        made = keys.rotate(connection, old, body.overlap_seconds, _seconds(body.expires_at))
    shared.keys.forget(old.prefix)
    return _answer_new(*made)


@api.delete("/v1/keys/<key_id>", summary="Take a key back", responses=answers(204, None, 404, 422))
def delete_key(path: KeyPath, query: Query) -> Response:
    """Here it holds no more at once; another process of the API may let it in for 5 seconds yet. Its jobs and data sets
    stay: admins see them, and a new key with its `owner` does."""
    shared = context()
    with shared.database.write() as connection:
        old = keys.find(connection, path.key_id)
        keys.remove(connection, path.key_id)
    shared.keys.forget(old.prefix)
    return Response(status=204)


def _seconds(text: str | None) -> float | None:
    return None if text is None else seconds_of(text)


def _answer_new(row: Row[Any], secret: str) -> Response:
    reply = jsonify(show_key(row) | {"secret": secret})
    reply.status_code = 201
    reply.headers["Location"] = f"/v1/keys/{row.id}"
    return reply


def show_key(row: Row[Any]) -> dict[str, Any]:
    times = {name: rfc3339(getattr(row, name)) for name in ("created_at", "expires_at", "last_used_at")}
    has_expired = row.expires_at is not None and row.expires_at <= row.now
    return {name: getattr(row, name) for name in SHOWN} | times | {"expired": has_expired}
