"""One task, in the process that does tasks."""

import logging
from collections.abc import Callable

import numpy as np
import torch

from models.artifacts import PREDICTIONS, fresh_key
from models.definitions.data import Data
from models.definitions.uploaded import Uploaded
from models.errors import DescentError, InvalidDefinition
from models.ingest.options import Options
from models.lifecycle import error
from models.logs import about
from models.predictor import load
from models.settings import Settings
from models.storage import Storage, StorageAway, Stored, open_storage, rest_of
from models.tasks import Kind
from workers.datasets.shelf import fetch, load_data, load_validation
from workers.export.export import export
from workers.failures import error_of
from workers.task_process import Order, Outcome
from workers.training.data import inputs_of
from workers.training.model import Model, evaluate, read_model
from workers.training.parts import Mapped, Part, rows_of

log = logging.getLogger(__name__)


def do(order: Order, settings: Settings) -> Outcome:
    """Whatever goes wrong is an outcome too."""
    torch.set_num_threads(1)
    with about(order.trail, job_id=order.job_id):
        return _do(order, settings)


def _do(order: Order, settings: Settings) -> Outcome:
    try:
        return DOERS[order.kind](order, settings, open_storage(settings))
    except StorageAway as problem:
        return Outcome(error=error("storage_away", "The storage is away", str(problem), "infrastructure", True))
    except InvalidDefinition as problem:
        first = problem.problems[0]
        detail = f"{first.detail} {first.hint}"
        return Outcome(error=error(first.code, "The file does not fit the model", detail, "user", False))
    except (DescentError, FileNotFoundError) as problem:  # a job that is deleted meanwhile takes its files along
        return Outcome(error=error("model_unavailable", "The model cannot be read", str(problem), "data", False))
    except Exception as problem:
        log.exception("%s of %s failed", order.kind, order.job_id)
        return Outcome(error=dict(error_of(problem)))


def _export(order: Order, settings: Settings, storage: Storage) -> Outcome:
    made = export(storage, order.job_id, order.checkpoint, order.facts)
    return Outcome(result={}, made=tuple(made))


def _evaluate(order: Order, settings: Settings, storage: Storage) -> Outcome:
    model = read_model(storage.path_of(order.checkpoint))
    part = part_of(Data.model_validate(order.request["data"]), model, settings, storage)
    return Outcome(result=evaluate(model.deployed(), model.shape, part))


def part_of(data: Data, model: Model, settings: Settings, storage: Storage) -> Part:
    """All rows to evaluate on: of the set for validation, or of a built-in one."""
    files = fetch(data.model_copy(update={"uploaded": _words_of(data.uploaded)}), storage)
    folder = settings.data.absolute() / "datasets"
    arrays = load_validation(data, files) or load_data(data, folder, files)
    rows = np.arange(len(arrays.y))
    y = rows_of(np.asarray(arrays.y), rows, None)
    return Mapped(y=y, source=inputs_of(data, arrays), rows=rows, scale=model.inputs)


def _words_of(trained: Uploaded | None) -> Uploaded | None:
    """Of what a job was trained on all that its evaluation on another set needs: how words are numbered."""
    if trained is None:
        return None
    words = {name: array for name, array in trained.arrays.items() if name == "words"}
    return trained.model_copy(update={"arrays": words})


def _predict(order: Order, settings: Settings, storage: Storage) -> Outcome:
    from workers.predicting import predict_file  # noqa: PLC0415  Arrow, which only files of rows need

    request = order.request
    predictor = load(storage.path_of(Stored(**request["model"])), order.facts["definition"])
    upload = storage.path_of(Stored(**request["upload"]))
    file, rows = predict_file(upload, Options.model_validate(request["options"]), predictor, settings.data)
    with file:
        stored = storage.write(fresh_key(order.job_id, PREDICTIONS), rest_of(file))
    return Outcome(result={"rows": rows, "file": stored.plain()})


DOERS: dict[Kind, Callable[[Order, Settings, Storage], Outcome]] = {
    Kind.EXPORT: _export,
    Kind.EVALUATION: _evaluate,
    Kind.PREDICTION: _predict,
}
