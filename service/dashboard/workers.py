"""`/workers`: who works on what, and what waits for them."""

from flask import Blueprint, g, render_template

from models import queries
from models.fleet import read_fleet
from models.keys import Scope
from service.api.queue import show_queued
from service.api.workers import show_worker
from service.auth import require_scope
from service.context import context

MOST = 100


def add_to(pages: Blueprint) -> None:
    pages.add_url_rule("/workers", "workers", show_page)


def show_page() -> str:
    require_scope(Scope.READ)
    shared = context()
    with shared.database.read() as connection:
        fleet = read_fleet(connection, shared.settings.lease_seconds)
        rows = queries.queued_jobs(connection, g.sees, None, MOST)
        places = shared.queue.places(connection, rows)
        totals = shared.queue.totals(connection)
    return render_template(
        "workers.html",
        crews=[show_worker(crew) for crew in fleet.crews],
        waiting=[show_queued(row, place) for row, place in zip(rows, places, strict=True)],
        totals=totals,
        most=MOST,
    )
