"""One task, in the process that does tasks."""

import logging
from collections.abc import Callable

import torch

from models.errors import DescentError
from models.lifecycle import error
from models.settings import Settings
from models.storage import Storage, StorageAway, open_storage
from models.tasks import Kind
from workers.export.export import export
from workers.failures import error_of
from workers.task_process import Order, Outcome

log = logging.getLogger(__name__)


def do(order: Order, settings: Settings) -> Outcome:
    """Whatever goes wrong is an outcome too."""
    torch.set_num_threads(1)
    try:
        return DOERS[order.kind](order, settings, open_storage(settings))
    except StorageAway as problem:
        return Outcome(error=error("storage_away", "The storage is away", str(problem), "infrastructure", True))
    except DescentError as problem:
        return Outcome(error=error("model_unavailable", "The model cannot be read", str(problem), "data", False))
    except Exception as problem:
        log.exception("%s of %s failed", order.kind, order.job_id)
        return Outcome(error=dict(error_of(problem)))


def _export(order: Order, settings: Settings, storage: Storage) -> Outcome:
    made = export(storage, order.job_id, order.checkpoint, order.facts)
    return Outcome(result={}, made=tuple(made))


DOERS: dict[Kind, Callable[[Order, Settings, Storage], Outcome]] = {Kind.EXPORT: _export}
