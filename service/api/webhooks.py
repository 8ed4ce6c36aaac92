"""`/v1/webhooks`: whom to call when something happens to one's jobs. What was sent to them is in `deliveries`."""

from typing import Annotated, Any

from flask import Response, g, jsonify
from pydantic import Field
from sqlalchemy import Row

from models import webhooks
from models.definitions.base import Strict
from models.definitions.callback import DEFAULT_EVENTS, Events, Secret, Url
from models.definitions.job import Name
from models.idempotency import Key, keep_one
from service.api.jobs import ParameterId
from service.bodies import optional_body, read_body
from service.context import context
from service.cursors import answer_page, decode_id
from service.once import KeyHeader, once
from service.openapi import Page, Parts, Query, answers, blueprint, json_request, merge_request
from service.path_ids import id_of
from service.receivers import require_receiver
from service.replies import NewWebhookReply, WebhookReply, WebhooksReply
from service.times import rfc3339

api = blueprint("webhooks", "Calls to other services when something happens to jobs, signed by Standard Webhooks.")

DAY_SECONDS = 86_400.0


class WebhookPath(Parts):
    webhook_id: Annotated[str, id_of("webhook")]
    """`whk_` and 26 characters."""


class WebhooksQuery(Page):
    job: ParameterId | None = None
    """The callback of this job; default: the webhooks that are told of all jobs."""


class WebhookBody(Strict):
    """A new webhook."""

    url: Url
    """Where to POST to: https and a public address, or a host in DESCENT_WEBHOOK_HOSTS. Redirects are not followed."""
    events: Events = DEFAULT_EVENTS
    """Of which it is told; by default of the end of jobs and of each new verdict."""
    name: Name = ""
    """For people."""
    secret: Secret | None = None
    """To sign with: `whsec_` and the Base64 of 24 to 64 random bytes; default: one is made."""


class WebhookChanges(Strict):
    """What may change of a webhook. What is left out stays as it is."""

    url: Url = "https://hooks.example/"
    """Messages that wait go there too."""
    events: Events = DEFAULT_EVENTS
    """All of them: they take the place of those there are."""
    name: Name = ""
    """For people."""
    enabled: bool = True
    """A disabled one is told of nothing, and what waits for it is given up."""


class SecretBody(Strict):
    """How a new secret takes the place of the old one."""

    secret: Secret | None = None
    """`whsec_` and the Base64 of 24 to 64 random bytes; default: one is made."""
    overlap_seconds: Annotated[float, Field(ge=0, le=30 * DAY_SECONDS)] = DAY_SECONDS
    """For so long messages are signed by both."""


RECEIVER = "https://hooks.example/descent"
EXAMPLES = {
    "the end of jobs, and verdicts": {"url": RECEIVER},
    "faults as they are found": {"url": RECEIVER, "events": ["job.finding", "job.failed"], "name": "alarm"},
}
CHANGES = {"another receiver": {"url": RECEIVER}, "a rest": {"enabled": False}}


@api.post(
    "/v1/webhooks",
    summary="Make a webhook",
    request_body=json_request(WebhookBody, EXAMPLES),
    responses=answers(201, NewWebhookReply, 400, 404, 409, 413, 415, 422) | {200: WebhookReply},
)
def create_webhook(query: Query, header: KeyHeader) -> Response:
    """It is told of all jobs of the key's owner from now on. The answer has the `secret` with which messages are
    signed; it is shown this once, and in no answer to a repetition (200): `rotate` shows another. An owner has 50 at
    most (409 `too_many_webhooks`)."""
    return once(header, _create, _answer_made)


def _create(key: Key | None) -> Response:
    body = read_body(WebhookBody)
    require_receiver(body.url, "/url")
    with context().database.write() as connection:
        made, secret = webhooks.create(connection, g.owner, body.name, body.url, body.events, body.secret)
        keep_one(connection, key, made.id)
    reply = _answer_secret(made, secret)
    reply.status_code = 201
    reply.headers["Location"] = f"/v1/webhooks/{made.id}"
    return reply


def _answer_made(webhook_id: str) -> Response:
    with context().database.read() as connection:
        reply = jsonify(_shown(webhooks.find(connection, webhook_id, g.sees)))
    reply.headers["Location"] = f"/v1/webhooks/{webhook_id}"
    return reply


@api.get("/v1/webhooks", summary="Webhooks, newest first", responses=answers(200, WebhooksReply, 422))
def list_webhooks(query: WebhooksQuery) -> Response:
    """Yours, without their secrets. Callbacks are listed by their `job`."""
    before = decode_id(query.after)
    with context().database.read() as connection:
        rows = webhooks.list_webhooks(connection, g.sees, query.job, before, query.limit + 1)
    return answer_page(rows, query.limit, _shown)


@api.get("/v1/webhooks/<webhook_id>", summary="One webhook", responses=answers(200, WebhookReply, 404, 422))
def get_webhook(path: WebhookPath, query: Query) -> Response:
    """Never with its secret, which was shown once, when it was made."""
    with context().database.read() as connection:
        return jsonify(_shown(webhooks.find(connection, path.webhook_id, g.sees)))


@api.patch(
    "/v1/webhooks/<webhook_id>",
    summary="Change a webhook",
    request_body=merge_request(WebhookChanges, CHANGES),
    responses=answers(200, WebhookReply, 400, 404, 413, 415, 422),
)
def change_webhook(path: WebhookPath, query: Query) -> Response:
    """A JSON Merge Patch. A receiver that answered 410 disabled it; `enabled` takes that back."""
    changes = read_body(WebhookChanges).model_dump(exclude_unset=True, mode="json")
    if "url" in changes:
        require_receiver(changes["url"], "/url")
    with context().database.write() as connection:
        webhooks.change(connection, path.webhook_id, g.sees, changes)
        return jsonify(_shown(webhooks.find(connection, path.webhook_id, g.sees)))


@api.post(
    "/v1/webhooks/<webhook_id>/rotate",
    summary="Replace the secret of a webhook",
    request_body=json_request(SecretBody, {"a day": {}, "at once": {"overlap_seconds": 0}}, required=False),
    responses=answers(200, NewWebhookReply, 400, 404, 413, 415, 422),
)
def rotate_webhook(path: WebhookPath, query: Query) -> Response:
    """The answer has the new `secret`, which is shown this once. Until the overlap ends each message carries two
    signatures, so that the receiver can change over without a gap. Only the last secret before is kept: who may have to
    repeat the call, sends a `secret`, and with the same one nothing changes again."""
    body = optional_body(SecretBody)
    with context().database.write() as connection:
        secret = webhooks.rotate(connection, path.webhook_id, g.sees, body.secret, body.overlap_seconds)
        return _answer_secret(webhooks.find(connection, path.webhook_id, g.sees), secret)


@api.delete("/v1/webhooks/<webhook_id>", summary="Delete a webhook", responses=answers(204, None, 404, 422))
def delete_webhook(path: WebhookPath, query: Query) -> Response:
    """With its log. It is told nothing more, but for what is being sent at this moment."""
    with context().database.write() as connection:
        webhooks.remove(connection, path.webhook_id, g.sees)
    return Response(status=204)


def _answer_secret(row: Row[Any], secret: str) -> Response:
    return jsonify(_shown(row) | {"secret": secret})


def _shown(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "url": row.url,
        "events": row.events,
        "job": row.job_id,
        "enabled": row.disabled_at is None,
        "disabled_at": rfc3339(row.disabled_at),
        "disabled_reason": row.disabled_reason,
        "old_secret_until": rfc3339(row.old_secret_until),
        "created_at": rfc3339(row.created_at),
        "links": {"self": f"/v1/webhooks/{row.id}", "deliveries": f"/v1/webhooks/{row.id}/deliveries"},
    }
