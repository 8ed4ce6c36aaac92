"""What the resources of the API share, made once by `create_app`."""

from dataclasses import dataclass

from flask import current_app

from models.database import Database
from models.doorbell import Doorbell
from models.settings import Settings
from models.storage import Storage
from service.capacity import KnownCapacity
from service.ended import EndedJobs
from service.known_queue import KnownQueue
from service.predictors import Predictors
from service.submissions import Submissions
from service.watcher import Watcher


@dataclass(frozen=True)
class Context:
    settings: Settings
    database: Database
    doorbell: Doorbell
    watcher: Watcher
    capacity: KnownCapacity
    queue: KnownQueue
    submissions: Submissions
    ended: EndedJobs
    storage: Storage
    predictors: Predictors
    schema: str
    """Revision of the migrations that this code needs."""


def context() -> Context:
    """Of the app that serves this request."""
    shared: Context = current_app.extensions["descent"]
    return shared
