"""`/`: all jobs, with filters and what is to be seen of each at a glance."""

from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, g, make_response, render_template, request
from pydantic import ValidationError
from werkzeug.wrappers import Response

from models import queries
from models.admission import told
from models.diagnosis.finding import Code
from models.errors import InvalidDefinition
from models.keys import Scope
from models.states import TERMINAL, Status, Verdict
from service.api.jobs import OLDEST_FIRST, ListQuery, wanted_of
from service.auth import require_scope
from service.context import context
from service.cursors import decode_id, encode_cursor
from service.dashboard.sparklines import sparklines
from service.resource import show_job

CHOICES: dict[str, list[str]] = {
    "status": [str(status) for status in Status],
    "verdict": [str(verdict) for verdict in Verdict],
    "family": ["dnn", "cnn", "rnn", "sequential"],
    "finding": [str(code) for code in Code],
}


def add_to(pages: Blueprint) -> None:
    pages.add_url_rule("/", "jobs", show_jobs)


def show_jobs() -> Response:
    """The filters are the parameters of `GET /v1/jobs`, by the same names."""
    require_scope(Scope.READ)
    given = {name: value for name, value in request.args.items() if value}
    try:
        query = ListQuery.model_validate(given)
        place = decode_id(query.after)
    except ValidationError as error:
        wrong = [f"{'/'.join(map(str, item['loc']))}: {told(item['msg'])}" for item in error.errors()]
        return _page([], given, wrong=wrong)
    except InvalidDefinition as error:
        return _page([], given, wrong=[str(error)])
    shared = context()
    with shared.database.read() as connection:
        wanted = wanted_of(query)
        oldest_first = query.sort == OLDEST_FIRST
        rows = queries.list_jobs(connection, g.sees, place, query.limit + 1, oldest_first, **wanted)
        places = shared.queue.places(connection, rows[: query.limit])
        curves = sparklines(connection, rows[: query.limit])
    items = [
        show_job(row, queue, shared.settings.max_attempts) | {"curve": curves.get(row.id, "")}
        for row, queue in zip(rows, places, strict=False)
    ]
    following = None
    if len(rows) > query.limit:
        following = "?" + urlencode(given | {"after": encode_cursor(items[-1]["id"])})
    return _page(items, given, following)


def _page(
    items: list[dict[str, Any]], given: dict[str, str], following: str | None = None, wrong: list[str] | None = None
) -> Response:
    page = render_template(
        "jobs.html", jobs=items, given=given, following=following, wrong=wrong, choices=CHOICES,
        moving=any(job["status"] not in TERMINAL for job in items),
        filtered=bool(given.keys() - {"limit", "sort", "after"}),
    )  # fmt: skip
    return make_response(page, 422 if wrong else 200)
