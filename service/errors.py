"""Errors become HTTP here: one table, exception to problem+json (RFC 9457)."""

import json
import logging
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g
from pydantic import ValidationError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from models.admission import told
from models.errors import (
    DescentError,
    DiskFull,
    IllegalMove,
    InFlight,
    InUse,
    InvalidDataset,
    InvalidDefinition,
    KeyReused,
    ModelPending,
    NoModel,
    NoRemedy,
    NotFound,
    NotJson,
    OtherVersion,
    OverBudget,
    Problem,
    QueueFull,
    TooManyWebhooks,
    UnhealthyModel,
)
from models.storage import Damaged, NotStored, StorageAway
from service.auth import Forbidden, Unauthorised, Unconfirmed
from service.doors import CrossOrigin, WrongHost
from service.predictors import ModelTooLarge
from service.problems import EXPLAINED, body_of, title_of
from service.rates import TooManyRequests
from service.watcher import TooManyWaiters

log = logging.getLogger(__name__)

RETRY_SECONDS = 2
SOON: tuple[type[Exception], ...] = (ModelPending, InFlight)
SOON_SECONDS = 1
"""After which to ask again for what is being made."""

KNOWN: dict[type[Exception], tuple[int, str]] = {
    NotJson: (400, "not_json"),
    Unauthorised: (401, "unauthorised"),
    Forbidden: (403, "forbidden"),
    CrossOrigin: (403, "cross_origin"),
    Unconfirmed: (403, "unconfirmed"),
    NotFound: (404, "not_found"),
    IllegalMove: (409, "illegal_move"),
    InUse: (409, "in_use"),
    InFlight: (409, "in_flight"),
    KeyReused: (409, "key_reused"),
    NoRemedy: (409, "no_remedy"),
    ModelPending: (409, "model_pending"),
    NoModel: (409, "no_model"),
    UnhealthyModel: (409, "unhealthy"),
    ModelTooLarge: (409, "model_too_large"),
    TooManyWebhooks: (409, "too_many_webhooks"),
    OtherVersion: (412, "other_version"),
    InvalidDataset: (422, "invalid_dataset"),
    InvalidDefinition: (422, "invalid_definition"),
    WrongHost: (421, "wrong_host"),
    QueueFull: (429, "queue_full"),
    OverBudget: (429, "over_budget"),
    TooManyRequests: (429, "too_many_requests"),
    TooManyWaiters: (429, "too_many_waiters"),
    DiskFull: (503, "disk_full"),
    StorageAway: (503, "storage_away"),
    NotStored: (503, "not_stored"),
    Damaged: (503, "stored_damaged"),
    OperationalError: (503, "database_away"),
    InterfaceError: (503, "database_away"),
    PoolTimeout: (503, "database_busy"),
}


def answer_errors(app: Flask) -> None:
    """From now on every error is answered as a problem."""
    for kind in KNOWN:
        app.register_error_handler(kind, answer)
    app.register_error_handler(HTTPException, answer_http)
    app.register_error_handler(Exception, answer_unknown)


def answer(error: Exception) -> Response:
    status, code = next(known for kind, known in KNOWN.items() if isinstance(error, kind))
    problems = error.problems if isinstance(error, InvalidDefinition) else ()
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        log.warning("%s: %s", g.request_id, error)
        return problem(status, code, str(error) if isinstance(error, DescentError) else EXPLAINED[code].meaning)
    reply = problem(status, code, str(error), problems)
    if isinstance(error, SOON):
        reply.headers["Retry-After"] = str(SOON_SECONDS)
    if isinstance(error, TooManyRequests):
        reply.headers["Retry-After"] = str(g.standing.reset_seconds)
    if isinstance(error, OverBudget):
        reply.headers["Retry-After"] = str(error.seconds)
    return reply


def answer_http(error: HTTPException) -> Response:
    """What Flask itself refuses: 404, 405, 413, ..."""
    status = error.code or 500
    code = title_of(status).lower().replace(" ", "_").replace("-", "_")
    reply = problem(status, code, error.description or "")
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            reply.headers[name] = value
    return reply


def answer_unknown(error: Exception) -> Response:
    log.error("%s: unexpected", g.get("request_id"), exc_info=error)
    return problem(500, "internal_error", "Something went wrong here; the log names it by this request_id.")


def answer_query(error: ValidationError) -> Response:
    """A parameter of the URL that is unknown, of a wrong type or out of range."""
    problems = [
        Problem(f"/{'/'.join(map(str, item['loc']))}", item["type"], told(item["msg"]), "See /docs.")
        for item in error.errors(include_url=False, include_context=False)
    ]
    return problem(422, "invalid_parameter", invalid_parameter(problems), problems)


def invalid_parameter(problems: list[Problem]) -> str:
    named = ", ".join(sorted({item.pointer.lstrip("/") for item in problems}))
    return f"A parameter of the request is wrong: {named}."


def problem(status: int, code: str, detail: str, errors: Any = ()) -> Response:
    """A problem as a response."""
    body = body_of(status, code, detail, g.get("request_id"), errors)
    reply = Response(json.dumps(body), status, mimetype="application/problem+json")
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        reply.headers["Retry-After"] = str(RETRY_SECONDS)
    if status == HTTPStatus.UNAUTHORIZED:
        reply.headers["WWW-Authenticate"] = "Bearer"
    return reply
