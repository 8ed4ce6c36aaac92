"""`/v1/jobs/{id}/events`: the typed history of a job, as a list, or as a stream of what is to come."""

from typing import Annotated

from flask import Response, g
from pydantic import Field

from models import queries
from service.api.jobs import JobPath
from service.context import context
from service.cursors import answer_page, decode_cursor, wrong_cursor
from service.feed import Feed, shown
from service.forms import accepted
from service.openapi import Header, Page, answers, blueprint
from service.replies import EventsReply

api = blueprint("events", "What has happened to a job.")

STREAM = "text/event-stream"
ANSWERS = answers(200, EventsReply, 404, 406, 422, 429) | {
    204: {"description": "A stream of a job that has ended would tell nothing more"},
}


class EventsQuery(Page):
    limit: Annotated[int, Field(ge=1, le=200)] = 100
    """Events of a page at most; a stream has no pages."""


class ResumeHeader(Header):
    last_event_id: Annotated[Annotated[str, Field(pattern=r"^[0-9]{1,18}$")] | None, Field(alias="Last-Event-ID")] = (
        None
    )
    """`id` of the last event that is known: the list or the stream goes on behind it. Browsers send it by themselves
    when they come again."""


@api.get("/v1/jobs/<job_id>/events", summary="The history of a job", responses=ANSWERS)
def list_events(path: JobPath, query: EventsQuery, header: ResumeHeader) -> Response:
    """A page of the history; or, where `Accept` prefers `text/event-stream`, a stream of server-sent events: those
    there are, then each as it comes, with `id`, `event` (its type) and `data` (as in the list). A comment comes every
    ten seconds. The stream ends when the job does, and after 60 seconds at the latest: come again with `Last-Event-ID`,
    as `EventSource` does. 204 says that the job has ended and nothing will follow. 429 `too_many_waiters` where as many
    streams and long-polls are open as DESCENT_WAITERS allows."""
    form = accepted("application/json", STREAM)
    after = _place(query, header)
    if form == STREAM:
        return _stream(path.job_id, after)
    with context().database.read() as connection:
        queries.find_version(connection, path.job_id, g.sees)
        rows = queries.list_events(connection, path.job_id, after, query.limit + 1)
    return answer_page(rows, query.limit, shown)


def _place(query: EventsQuery, header: ResumeHeader) -> int:
    """The id of the last event that the caller knows."""
    if header.last_event_id is not None:
        return int(header.last_event_id)
    place = decode_cursor(query.after) or "0"
    if not (place.isdecimal() and len(place) < 19):
        raise wrong_cursor()
    return int(place)


def _stream(job_id: str, after: int) -> Response:
    shared = context()
    place = shared.watcher.place()
    try:
        feed = Feed(shared.database, place, job_id, g.sees, after)
        reply = Response(status=204) if feed.is_over() else Response(iter(feed), mimetype=STREAM)
    except BaseException:
        place.leave()
        raise
    # Also for a client that goes before the first byte: then the feed is never begun, nor ended.
    reply.call_on_close(place.leave)
    reply.headers["X-Accel-Buffering"] = "no"
    return reply
