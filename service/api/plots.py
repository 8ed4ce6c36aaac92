"""`/v1/jobs/{id}/plots/{picture}`: pictures of a job for reports, chat messages and pull requests."""

from collections.abc import Callable
from typing import Annotated, Any

from flask import Response, g, request
from pydantic import AfterValidator, Field
from sqlalchemy import Connection, Row

from models import queries
from models.errors import NotFound
from models.states import TERMINAL
from service.api.jobs import POLL_AFTER_SECONDS, JobPath
from service.context import context
from service.contract import NOT_MODIFIED
from service.forms import OCTETS, or_octets
from service.openapi import BINARY, Query, answers, blueprint
from service.plots import flow, gradients, loss, network, over_time
from service.plots.picture import Picture
from service.plots.png import png
from service.plots.svg import svg

api = blueprint("plots", "What was measured, as pictures.")

PICTURES: dict[str, Callable[[Connection, Row[Any]], Picture]] = {
    "loss": loss.of,
    "gradients": gradients.of,
    "flow": flow.of,
    "time": over_time.of,
    "network": network.of,
}
FORMS: dict[str, tuple[str, Callable[[Picture], bytes]]] = {"svg": ("image/svg+xml", svg), "png": ("image/png", png)}
NAMES = [f"{name}.{form}" for name in PICTURES for form in FORMS]
DRAWN: dict[str, Any] = {
    "description": "The picture",
    "content": {
        OCTETS: {"schema": BINARY},
        "image/svg+xml": {"schema": {"type": "string"}},
        "image/png": {"schema": BINARY},
    },
}


def _picture(name: str) -> str:
    if name not in NAMES:
        raise NotFound(f"There is no picture {name[:100]!r}; there are {', '.join(NAMES)}.")
    return name


class PlotPath(JobPath):
    picture: Annotated[str, AfterValidator(_picture), Field(json_schema_extra={"enum": NAMES})]
    """What it shows, and `.svg` or `.png`."""


@api.get(
    "/v1/jobs/<job_id>/plots/<picture>",
    summary="A picture",
    responses=answers(200, None, 404, 422) | {200: DRAWN} | NOT_MODIFIED,
)
def get_plot(path: PlotPath, query: Query) -> Response:
    """`loss`: losses by epoch, the best epoch marked. `gradients`: gradient norm by layer and step, as colours. `flow`:
    how much of the output's gradient comes to each hidden layer, beside what theory expects. `time`: the same over the
    time steps of a recurrent network. `network`: its layers, coloured by what the diagnosis says of them.

    As SVG, whose text stays text and which is light or dark as the page around it; or as PNG, 1600 pixels wide. Where
    there is nothing to draw yet, the picture says so. As `application/octet-stream` where `Accept` prefers that."""
    name, _, form = path.picture.rpartition(".")
    media_type, written = FORMS[form]
    with context().database.read() as connection:
        job = queries.find_job(connection, path.job_id, g.sees)
        if request.if_none_match.contains_weak(_tag(job)):
            return _labelled(Response(status=304), job)
        drawn = PICTURES[name](connection, job)
    return _labelled(Response(written(drawn), mimetype=or_octets(media_type)), job)


def _tag(job: Row[Any]) -> str:
    """Pictures show steps too, of which the version of a job says nothing."""
    return f"{job.version}.{job.step}"


def _labelled(reply: Response, job: Row[Any]) -> Response:
    reply.set_etag(_tag(job), weak=True)
    # A browser may keep it, and asks each time: whoever has no key any more is not to have it.
    reply.headers["Cache-Control"] = "private, no-cache"
    if job.status not in TERMINAL:
        reply.headers["Retry-After"] = str(POLL_AFTER_SECONDS)
    return reply
