"""All files of a job, made of the checkpoint of its best epoch and stored."""

import json
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from models.artifacts import CARD, DEFINITION, ONNX, WEIGHTS, Made, fresh_key
from models.storage import Storage, Stored
from workers.export.card import card
from workers.export.onnx_file import onnx_file
from workers.export.weights import weights_file
from workers.training.model import Model, read_model

log = logging.getLogger(__name__)

MAKERS: dict[str, Callable[[Model, dict[str, Any]], bytes]] = {
    WEIGHTS: lambda model, facts: weights_file(model),
    ONNX: lambda model, facts: onnx_file(model),
    DEFINITION: lambda model, facts: json.dumps(model.definition.plain(), indent=2).encode() + b"\n",
    CARD: lambda model, facts: card(model, facts).encode(),
}


def export(storage: Storage, job_id: str, checkpoint: Stored, facts: dict[str, Any]) -> list[Made]:
    """Each file by itself: where one cannot be made, the others are there all the same.

    Raises:
        NotStored, Damaged, StorageAway
    """
    model = read_model(storage.path_of(checkpoint))
    return [_made(storage, job_id, name, partial(make, model, facts)) for name, make in MAKERS.items()]


def _made(storage: Storage, job_id: str, name: str, make: Callable[[], bytes]) -> Made:
    try:
        content = make()
    except Exception as problem:  # an exporter that does not know an operation may raise anything
        log.exception("%s: no %s", job_id, name)
        return Made(name, None, f"It could not be made: {type(problem).__name__}: {problem}"[:500])
    return Made(name, storage.write(fresh_key(job_id, name), [content]))
