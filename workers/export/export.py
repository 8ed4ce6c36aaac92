"""All files of a job, made of the checkpoint of its best epoch and stored."""

import json
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from models.artifacts import CARD, DEFINITION, ONNX, WEIGHTS, Made, fresh_key
from models.storage import Storage, Stored
from models.words import Words
from workers.export.card import card
from workers.export.onnx_file import onnx_file
from workers.export.weights import weights_file
from workers.training.model import Model, read_model

log = logging.getLogger(__name__)


def export(storage: Storage, job_id: str, checkpoint: Stored, facts: dict[str, Any]) -> list[Made]:
    """Each file by itself: where one cannot be made, the others are there all the same.

    Raises:
        NotStored, Damaged, StorageAway
    """
    model = read_model(storage.path_of(checkpoint))
    makers: dict[str, Callable[[], bytes]] = {
        WEIGHTS: partial(weights_file, model),
        ONNX: lambda: onnx_file(model, _words(storage, model)),
        DEFINITION: lambda: json.dumps(model.definition.plain(), indent=2).encode() + b"\n",
        CARD: lambda: card(model, facts).encode(),
    }
    return [_made(storage, job_id, name, make) for name, make in makers.items()]


def _words(storage: Storage, model: Model) -> Words | None:
    """Of a data set of texts."""
    uploaded = model.definition.data.uploaded
    array = uploaded.arrays.get("words") if uploaded else None
    return None if array is None else Words.load(storage.path_of(Stored(array.key, array.size, array.sha256)))


def _made(storage: Storage, job_id: str, name: str, make: Callable[[], bytes]) -> Made:
    try:
        content = make()
    except Exception as problem:  # an exporter that does not know an operation may raise anything
        log.exception("%s: no %s", job_id, name)
        return Made(name, None, f"It could not be made: {type(problem).__name__}: {problem}"[:500])
    return Made(name, storage.write(fresh_key(job_id, name), [content]))
