"""`/v1/jobs`: submit, list, follow, read the history. What changes a job is in `moves`."""

import time
from collections.abc import Callable
from typing import Annotated, Any, Literal

from flask import Response, g, jsonify, request
from pydantic import AfterValidator, Field
from sqlalchemy import Connection, Row

from models import queries
from models.admission import admit
from models.definitions.job import JobDefinition
from models.diagnosis.finding import Code
from models.filters import Threshold
from models.idempotency import Key
from models.ids import is_id
from models.states import TERMINAL, Status, Verdict
from models.submission import Submission
from service.bodies import json_bytes
from service.context import context, uploads
from service.contract import NOT_MODIFIED
from service.cursors import answer_page, decode_id
from service.once import KeyHeader, once
from service.openapi import Page, Parts, Query, answers, blueprint, json_request
from service.path_ids import id_of
from service.receivers import require_callback
from service.replies import JobReply, JobsReply
from service.resource import show_job
from service.room import require_room
from service.times import seconds_of

api = blueprint("jobs", "One definition on its way to a result.")

POLL_AFTER_SECONDS = 1
OLDEST_FIRST = "created_at"
NEW_JOB = answers(202, JobReply, 400, 404, 409, 413, 415, 422, 429) | {200: JobReply}
"""200: the job that a request with the same Idempotency-Key made."""
EXAMPLES: dict[str, Any] = {
    "all defaults": {"network": {"family": "dnn", "hidden": [16]}, "data": {"dataset": "iris"}},
    "digits cnn": {
        "name": "digits cnn",
        "tags": ["example"],
        "network": {
            "family": "cnn",
            "blocks": [{"filters": 32, "pool": "max"}, {"filters": 64, "pool": "max"}],
            "hidden": [64],
        },
        "data": {"dataset": "digits", "validation": 0.2},
        "training": {"epochs": 20, "optimizer": {"kind": "adam", "learning_rate": 0.001}},
    },
}
DEFINITION = json_request(JobDefinition, EXAMPLES)


class JobPath(Parts):
    job_id: Annotated[str, id_of("job")]
    """`job_` and 26 characters."""


def _parameter_id(text: str) -> str:
    if not is_id(text):
        raise ValueError("It should be the id of a job.")
    return text


def _timestamp(text: str) -> str:
    """Checked; as Unix seconds it is read by `service.times.seconds_of`."""
    seconds_of(text)
    return text


def _metric(text: str) -> str:
    Threshold.read(text)
    return text


def _plain_text(text: str) -> str:
    if "\0" in text or not text.isprintable():
        raise ValueError("It should be a text without control characters.")
    return text


ParameterId = Annotated[str, AfterValidator(_parameter_id)]
Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain_text)]
Time = Annotated[str, Field(max_length=40), AfterValidator(_timestamp)]


class ListQuery(Page):
    """All conditions hold at once."""

    status: Status | None = None
    """How far they are."""
    verdict: Verdict | None = None
    """Of their last diagnosis."""
    finding: Code | None = None
    """Jobs whose last diagnosis has it, as a fault or as a warning."""
    parent: ParameterId | None = None
    """Its retries, clones and repairs."""
    family: Literal["dnn", "cnn", "rnn", "sequential"] | None = None
    """Of the network."""
    dataset: Text | None = None
    """Its name or id."""
    tag: Text | None = None
    """Jobs that have just this one among theirs."""
    name: Text | None = None
    """Jobs with this anywhere in their name; capitals do not matter (those beyond ASCII may)."""
    created_after: Time | None = None
    """RFC 3339; at that time or later."""
    created_before: Time | None = None
    """RFC 3339; earlier than that."""
    metric: Annotated[str, Field(max_length=200), AfterValidator(_metric)] | None = None
    """Of the best epoch, with `<`, `<=`, `>` or `>=`: `validation_loss<0.1`. In a URL that is
    `validation_loss%3C0.1`, as clients write it that are given parameters; a bare `<` or `>` is no URL, and is refused
    with an empty 400. A job without the metric, or whose number was not finite, is not listed."""
    sort: Literal["-created_at", "created_at"] = "-created_at"
    """The newest first, or the oldest."""


class WaitQuery(Query):
    wait: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 0
    """Seconds to wait for a change: against the ETag in `If-None-Match`, else against the job as it is now."""


@api.post(
    "/v1/jobs",
    summary="Submit a job",
    request_body=DEFINITION,
    responses=NEW_JOB,
)
def submit_job(header: KeyHeader) -> Response:
    """Accepts a definition that can be trained, or says everything that is wrong with it."""
    return once(header, _submit, answer_again)


def _submit(key: Key | None) -> Response:
    admitted = admit(json_bytes(), context().capacity.now(), uploads(g.owner))
    return queue_job(Submission(admitted.definition, g.owner, admitted.memory_bytes, key=key))


def queue_job(wanted: Submission) -> Response:
    """The answer to a new job, once it is stored.

    Raises:
        DiskFull, OverBudget, QueueFull, KeyTaken
        InvalidDefinition: its callback may not be called.
    """
    shared = context()
    require_room(wanted.owner)
    require_callback(wanted.definition)
    row = queries.as_found(shared.submissions.submit(wanted))
    shared.doorbell.ring()
    with shared.database.read() as connection:
        reply = _shown(connection, row, 202)
    reply.headers["Location"] = f"/v1/jobs/{row.id}"
    return reply


def answer_made(job_id: str, status: int = 202) -> Response:
    """The answer to a POST that made this job.

    Raises:
        NotFound
    """
    with context().database.read() as connection:
        reply = answer_job(connection, job_id, status)
    reply.headers["Location"] = f"/v1/jobs/{job_id}"
    return reply


def answer_again(job_id: str) -> Response:
    """The answer to the repetition of a POST that made this job."""
    return answer_made(job_id, 200)


def wanted_of(query: ListQuery) -> dict[str, Any]:
    """What `models.queries.list_jobs` takes."""
    wanted = query.model_dump(exclude={"limit", "after", "sort"}, exclude_none=True)
    readers: dict[str, Callable[[str], Any]] = {
        "created_after": seconds_of,
        "created_before": seconds_of,
        "metric": Threshold.read,
    }
    return wanted | {name: read(wanted[name]) for name, read in readers.items() if name in wanted}


@api.get("/v1/jobs", summary="List jobs", responses=answers(200, JobsReply, 422))
def list_jobs(query: ListQuery) -> Response:
    """Yours, those that every condition holds for; `next` goes on behind the last one, whatever was submitted since."""
    shared = context()
    place = decode_id(query.after)
    with shared.database.read() as connection:
        wanted = wanted_of(query)
        rows = queries.list_jobs(connection, g.sees, place, query.limit + 1, query.sort == OLDEST_FIRST, **wanted)
        places = shared.queue.places(connection, rows)
    most = shared.settings.max_attempts
    placed = list(zip(rows, places, strict=True))
    return answer_page(placed, query.limit, lambda pair: show_job(*pair, most))


@api.get(
    "/v1/jobs/<job_id>",
    summary="One job; waits for a change with `wait`",
    responses=answers(200, JobReply, 404, 422, 429) | NOT_MODIFIED,
)
def get_job(path: JobPath, query: WaitQuery) -> Response:
    """Carries an `ETag`, and `Retry-After` while the job is not terminal; 304 to `If-None-Match` of the same."""
    if query.wait:
        _await_change(path.job_id, query.wait)
    ended = context().ended
    with context().database.read() as connection:
        if request.if_none_match or path.job_id in ended:
            row = queries.find_version(connection, path.job_id, g.sees)
            if knows(row):
                return labelled(Response(status=304), row)
            if body := ended.find(path.job_id, row.version):
                return labelled(Response(body, mimetype="application/json"), row)
        return answer_job(connection, path.job_id, 200)


def answer_job(connection: Connection, job_id: str, status: int) -> Response:
    """A job as it is now.

    Raises:
        NotFound
    """
    return _shown(connection, queries.find_job(connection, job_id, g.sees), status)


def _shown(connection: Connection, row: Row[Any], status: int) -> Response:
    [place] = context().queue.places(connection, [row])
    reply = jsonify(show_job(row, place, context().settings.max_attempts))
    reply.status_code = status
    if row.status in TERMINAL and all(status in TERMINAL for _, status, *_ in row.repairs or ()):
        context().ended.keep(row.id, row.version, reply.get_data())
    return labelled(reply, row)


def labelled(reply: Response, row: Row[Any]) -> Response:
    """With the headers that a job's version and status decide."""
    # Weak: steps and the estimated end move on between two versions.
    reply.set_etag(str(row.version), weak=True)
    if row.status not in TERMINAL:
        reply.headers["Retry-After"] = str(POLL_AFTER_SECONDS)
    return reply


def knows(row: Row[Any]) -> bool:
    """Whether the caller has this version of the job."""
    return request.if_none_match.contains_weak(str(row.version))


def _await_change(job_id: str, seconds: float) -> None:
    """Returns when the job differs from what the caller knows, when it has ended, or when the time is over."""
    shared = context()
    with shared.database.read() as connection:
        row = queries.find_version(connection, job_id, g.sees)
    changed = bool(request.if_none_match) and not knows(row)
    if not changed and row.status not in TERMINAL:
        began = time.perf_counter()
        with shared.watcher.place() as place:
            place.wait(job_id, lambda mark: mark.version > row.version, seconds)
        g.waited = time.perf_counter() - began
