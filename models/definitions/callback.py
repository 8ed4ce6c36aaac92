"""Who is to be called when something happens to a job: the words that webhooks and `callback` have in common."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from models.addresses import target_of
from models.definitions.base import Several, Strict
from models.signatures import checked_secret

EventName = Literal[
    "job.queued",
    "job.started",
    "job.epoch",
    "job.checkpoint",
    "job.finding",
    "job.verdict",
    "job.repair",
    "job.pausing",
    "job.paused",
    "job.resumed",
    "job.requeued",
    "job.cancelling",
    "job.succeeded",
    "job.failed",
    "job.cancelled",
]
VERDICT = "job.verdict"
"""The verdict is another than before. It is in no history: `job.finding` says more there."""
DEFAULT_EVENTS: tuple[EventName, ...] = ("job.succeeded", "job.failed", "job.cancelled", "job.verdict")


def _url(text: str) -> str:
    target_of(text)
    return text


IS_URL: dict[str, Any] = {"format": "uri", "pattern": "^https?://"}
IS_SECRET: dict[str, Any] = {"pattern": "^whsec_[A-Za-z0-9+/]{32,86}={0,2}$"}
"""For readers of the schema; what is wrong the validators say better."""
Url = Annotated[str, Field(max_length=2000, json_schema_extra=IS_URL), AfterValidator(_url)]
Events = Annotated[Several[EventName], Field(min_length=1, max_length=50)]
Secret = Annotated[str, Field(max_length=100, json_schema_extra=IS_SECRET), AfterValidator(checked_secret)]


class Callback(Strict):
    """A webhook of one job, besides those of its owner. `GET /v1/webhooks?job=…` leads to what it was told."""

    url: Url
    """Where to POST to: https and a public address, or a host in DESCENT_WEBHOOK_HOSTS. Redirects are not followed."""
    events: Events = DEFAULT_EVENTS
    """Of which it is told; by default of the job's end and of each new verdict."""
    secret: Secret | None = None
    """To sign with: `whsec_` and the Base64 of 24 to 64 random bytes. It is shown nowhere; here `null` stands for it. A
    clone, retry or repair goes on with its parent's. `null`: one is made, which `POST /v1/webhooks/{id}/rotate`
    replaces by one that is shown."""
