"""The only wiring: from settings to an app. The server calls `create_app()`, a test its own with settings of a test."""

import re
import secrets
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from flask import Flask, g, request
from prometheus_client import CollectorRegistry, ProcessCollector

from migrations.newest import newest_revision
from models.database import Database
from models.doorbell import Doorbell
from models.settings import Settings, read_settings
from models.storage import open_storage, storage_answers
from models.trail import Trail, follow, traceparent_of
from service import auth
from service.access_log import log_request
from service.api import (
    artifacts,
    datasets,
    deliveries,
    diagnosis,
    estimates,
    evaluations,
    events,
    health,
    keys,
    metrics,
    moves,
    plots,
    predictions,
    queue,
    repairs,
    schema,
    series,
    textbook,
    usage,
)
from service.bootstrap import bootstrap_key
from service.broker import broker_answers
from service.capacity import KnownCapacity
from service.collector import Collector
from service.context import Context
from service.dashboard.pages import add_dashboard
from service.doors import Doors
from service.ended import EndedJobs
from service.errors import answer_errors
from service.flights import Flights
from service.ingests import Ingests
from service.known_figures import KnownFigures
from service.known_keys import KnownKeys
from service.known_queue import KnownQueue
from service.known_usage import KnownUsage
from service.limits import limit_requests, show_standing
from service.metrics import RequestMetrics
from service.openapi import create_openapi_app
from service.pages import add_pages
from service.predictors import Predictors
from service.rates import Rates
from service.request_traces import trace_requests
from service.sender import Sender
from service.sessions import Sessions
from service.submissions import Submissions
from service.watcher import Watcher

if TYPE_CHECKING:
    from models.spans import Tracing

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")


def create_app(settings: Settings | None = None, tracing: "Tracing | None" = None) -> Flask:
    """The API on the database of the settings, which `migrations.migrate` has brought up to date."""
    settings = settings or read_settings()
    database = Database(settings.database)
    storage = open_storage(settings)
    known_queue = KnownQueue(settings)
    watcher = Watcher(database, settings.waiters)
    parts = {"broker": partial(broker_answers, settings), "storage": partial(storage_answers, storage)}
    registry = CollectorRegistry()
    registry.register(Collector(settings, database, KnownFigures(database, settings, parts), watcher))
    ProcessCollector(registry=registry)
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
        watcher=watcher,
        capacity=KnownCapacity(database, settings),
        keys=known_keys,
        sessions=Sessions(known_keys, bootstrap),
        rates=Rates(settings),
        usage=KnownUsage(database, settings),
        queue=known_queue,
        submissions=Submissions(database, settings.queued_jobs),
        ended=EndedJobs(),
        predictors=Predictors(storage, settings),
        flights=Flights(),
        sender=Sender(settings, database, known_queue, f"Descent/{version('descent')}"),
        metrics=registry,
        schema=newest_revision(),
    )
    RequestMetrics(registry).watch(app)
    app.before_request(name_request)
    if settings.log_level == "debug":
        app.after_request(log_request)
    if tracing:
        trace_requests(app, tracing)
    Doors(settings).watch(app)
    app.before_request(auth.authenticate)
    app.before_request(limit_requests)
    app.after_request(show_standing)
    answer_errors(app)
    add_pages(app)
    add_dashboard(app)
    of_jobs = moves, events, series, plots, diagnosis, repairs, artifacts, predictions, evaluations
    of_owners = datasets, keys, deliveries, usage
    for resource in (*of_jobs, queue, estimates, schema, textbook, *of_owners, metrics, health):
        app.register_api(resource.api)
    return app


def name_request() -> None:
    """The caller's `X-Request-Id` if it is a plain word, else one of our own; logs and problems carry it."""
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
    follow(Trail(g.request_id, traceparent_of(request.headers.get("traceparent"))))
