"""What the resources of the API share, made once by `create_app`."""

from dataclasses import dataclass

from flask import current_app
from prometheus_client import CollectorRegistry

from models.database import Database
from models.datasets import uploads_of
from models.doorbell import Doorbell
from models.settings import Settings
from models.storage import Storage
from models.uploads import Upload, Uploads
from service.capacity import KnownCapacity
from service.ended import EndedJobs
from service.flights import Flights
from service.ingests import Ingests
from service.known_keys import KnownKeys
from service.known_queue import KnownQueue
from service.known_usage import KnownUsage
from service.predictors import Predictors
from service.rates import Rates
from service.sender import Sender
from service.sessions import Sessions
from service.submissions import Submissions
from service.watcher import Watcher


@dataclass(frozen=True)
class Context:
    settings: Settings
    database: Database
    storage: Storage
    ingests: Ingests
    doorbell: Doorbell
    watcher: Watcher
    capacity: KnownCapacity
    keys: KnownKeys
    sessions: Sessions
    rates: Rates
    usage: KnownUsage
    queue: KnownQueue
    submissions: Submissions
    ended: EndedJobs
    predictors: Predictors
    flights: Flights
    sender: Sender
    metrics: CollectorRegistry
    schema: str
    """Revision of the migrations that this code needs."""


def uploads(owner: str) -> Uploads:
    """The uploaded data sets that jobs of an owner may name. The database is asked only for what is named."""
    database = context().database

    def find(dataset: str) -> Upload | None:
        with database.read() as connection:
            return uploads_of(connection, owner)(dataset)

    return find


def context() -> Context:
    """Of the app that serves this request."""
    shared: Context = current_app.extensions["descent"]
    return shared
