"""`/v1/webhooks/{id}/deliveries`: what a webhook was told, what its receiver answered; test calls, and again."""

from typing import Annotated, Any, Literal

from flask import Response, g, jsonify
from sqlalchemy import Row

from models import delivery_log, outbox, webhooks
from service.api.moves import NOTHING, NoBody
from service.api.webhooks import WebhookPath, api
from service.bodies import optional_body
from service.context import context
from service.cursors import answer_page, decode_id
from service.openapi import Page, Query, answers
from service.path_ids import id_of
from service.replies import DeliveriesReply, DeliveryReply
from service.times import rfc3339

SENT = answers(202, DeliveryReply, 400, 404, 409, 413, 415, 422)


class DeliveryPath(WebhookPath):
    delivery_id: Annotated[str, id_of("delivery")]
    """`dlv_` and 26 characters: the `webhook-id` of the message."""


class DeliveriesQuery(Page):
    status: Literal["pending", "delivered", "failed"] | None = None
    """Only those."""


@api.post("/v1/webhooks/<webhook_id>/ping", summary="Send a test call", request_body=NOTHING, responses=SENT)
def ping_webhook(path: WebhookPath, query: Query) -> Response:
    """A message of type `webhook.ping`, signed and repeated as any other. It is sent within a second or so; the link
    `self` says what came of it. 409 where the webhook is disabled."""
    optional_body(NoBody)
    with context().database.write() as connection:
        webhook = webhooks.find(connection, path.webhook_id, g.sees)
        webhooks.require_enabled(webhook)
        delivery = delivery_log.find(connection, webhook.id, outbox.ping(connection, webhook))
    return _answer_sent(delivery)


@api.get(
    "/v1/webhooks/<webhook_id>/deliveries",
    summary="What a webhook was told, newest first",
    responses=answers(200, DeliveriesReply, 404, 422),
)
def list_deliveries(path: WebhookPath, query: DeliveriesQuery) -> Response:
    """Each with its last 20 attempts, without `body`. What ended is kept for DESCENT_DELIVERY_RETENTION_SECONDS, and no
    longer than its job."""
    before = decode_id(query.after)
    with context().database.read() as connection:
        webhooks.find(connection, path.webhook_id, g.sees)
        rows = delivery_log.deliveries_of(connection, path.webhook_id, query.status, before, query.limit + 1)
    return answer_page(rows, query.limit, _shown)


@api.get(
    "/v1/webhooks/<webhook_id>/deliveries/<delivery_id>",
    summary="One message to a webhook",
    responses=answers(200, DeliveryReply, 404, 422),
)
def get_delivery(path: DeliveryPath, query: Query) -> Response:
    """With the `body` that was sent, as soon as there is one."""
    with context().database.read() as connection:
        webhooks.find(connection, path.webhook_id, g.sees)
        delivery = delivery_log.find(connection, path.webhook_id, path.delivery_id)
    return jsonify(_whole(delivery))


@api.post(
    "/v1/webhooks/<webhook_id>/deliveries/<delivery_id>/redeliver",
    summary="Send a message again",
    request_body=NOTHING,
    responses=SENT,
)
def redeliver(path: DeliveryPath, query: Query) -> Response:
    """The same message with the same `webhook-id`, at once, and repeated as often as a new one. Nothing changes for one
    that waits for its next attempt. 409 where the webhook is disabled."""
    optional_body(NoBody)
    with context().database.write() as connection:
        webhook = webhooks.find(connection, path.webhook_id, g.sees)
        delivery_log.find(connection, webhook.id, path.delivery_id)
        webhooks.require_enabled(webhook)
        delivery_log.redeliver(connection, path.delivery_id)
        delivery = delivery_log.find(connection, webhook.id, path.delivery_id)
    return _answer_sent(delivery)


def _answer_sent(delivery: Row[Any]) -> Response:
    context().sender.ring()
    reply = jsonify(_whole(delivery))
    reply.status_code = 202
    return reply


def _whole(row: Row[Any]) -> dict[str, Any]:
    return _shown(row) | {"body": row.body}


def _shown(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "webhook": row.webhook_id,
        "job": row.job_id,
        "type": row.type,
        "status": row.status,
        "at": rfc3339(row.at),
        "next_attempt_at": rfc3339(row.due_at),
        "ended_at": rfc3339(row.ended_at),
        "attempts": [attempt | {"at": rfc3339(attempt["at"])} for attempt in row.attempts],
        "links": {"self": f"/v1/webhooks/{row.webhook_id}/deliveries/{row.id}"},
    }
