"""The only wiring: from settings to an app. The server calls `create_app()`, a test its own with settings of a test."""

import re
import secrets
from importlib.metadata import version

from flask import Flask, g, request

from migrations.newest import newest_revision
from models.database import Database
from models.doorbell import Doorbell
from models.settings import Settings, read_settings
from models.storage import open_storage
from service import auth
from service.api import (
    artifacts,
    datasets,
    diagnosis,
    estimates,
    evaluations,
    events,
    health,
    keys,
    moves,
    predictions,
    queue,
    repairs,
    schema,
    series,
    textbook,
    usage,
)
from service.bootstrap import bootstrap_key
from service.capacity import KnownCapacity
from service.context import Context
from service.dashboard.pages import add_dashboard
from service.doors import Doors
from service.ended import EndedJobs
from service.errors import answer_errors
from service.flights import Flights
from service.ingests import Ingests
from service.known_keys import KnownKeys
from service.known_queue import KnownQueue
from service.known_usage import KnownUsage
from service.limits import limit_requests, show_standing
from service.openapi import create_openapi_app
from service.pages import add_pages
from service.predictors import Predictors
from service.rates import Rates
from service.sessions import Sessions
from service.submissions import Submissions
from service.watcher import Watcher

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")


def create_app(settings: Settings | None = None) -> Flask:
    """The API on the database of the settings, which `migrations.migrate` has brought up to date."""
    settings = settings or read_settings()
    database = Database(settings.database)
    storage = open_storage(settings)
    app = create_openapi_app(__name__, version("descent"))
    # Of what is read without a limit of its own; `service/bodies.py` and `service/receiving.py` set theirs.
    app.config["MAX_CONTENT_LENGTH"] = settings.body_bytes
    bootstrap = bootstrap_key(settings)
    known_keys = KnownKeys(database, bootstrap)
    app.extensions["descent"] = Context(
        settings=settings,
        database=database,
        storage=storage,
        ingests=Ingests(settings, database, storage),
        doorbell=Doorbell(settings),
        watcher=Watcher(database, settings.waiters),
        capacity=KnownCapacity(database, settings),
        keys=known_keys,
        sessions=Sessions(known_keys, bootstrap),
        rates=Rates(settings),
        usage=KnownUsage(database, settings),
        queue=KnownQueue(settings),
        submissions=Submissions(database, settings.queued_jobs),
        ended=EndedJobs(),
        predictors=Predictors(storage, settings),
        flights=Flights(),
        schema=newest_revision(),
    )
    app.before_request(name_request)
    Doors(settings).watch(app)
    app.before_request(auth.authenticate)
    app.before_request(limit_requests)
    app.after_request(show_standing)
    answer_errors(app)
    add_pages(app)
    add_dashboard(app)
    of_jobs = moves, events, series, diagnosis, repairs, artifacts, predictions, evaluations
    for resource in (*of_jobs, queue, estimates, schema, textbook, datasets, keys, usage, health):
        app.register_api(resource.api)
    return app


def name_request() -> None:
    """The caller's `X-Request-Id` if it is a plain word, else one of our own; logs and problems carry it."""
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
