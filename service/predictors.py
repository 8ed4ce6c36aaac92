"""The models that this process holds to predict with: those used last, in bounds of number and bytes."""

import threading
from collections import OrderedDict
from typing import Any

from models.errors import DescentError
from models.predictor import Predictor, load
from models.settings import Settings
from models.storage import Storage, Stored


class ModelTooLarge(DescentError):
    """The model is larger than what a process of the API holds."""


class Predictors:
    """Loaded when they are first asked for; equal files are one."""

    def __init__(self, storage: Storage, settings: Settings) -> None:
        self._storage = storage
        self._most = settings.models
        self._most_bytes = settings.models_bytes
        self._held: OrderedDict[str, tuple[Predictor, int]] = OrderedDict()
        self._loading: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, stored: Stored, definition: dict[str, Any]) -> Predictor:
        """
        Raises:
            ModelTooLarge, NotStored, Damaged, StorageAway
        """
        with self._lock:
            if found := self._find(stored):
                return found
            loading = self._loading.setdefault(stored.key, threading.Lock())
        with loading:
            with self._lock:
                if found := self._find(stored):
                    return found
            if stored.size > self._most_bytes:
                detail = f"The model has {stored.size:,} bytes, and at most {self._most_bytes:,} are held here"
                raise ModelTooLarge(f"{detail} (DESCENT_MODELS_BYTES). Send the rows as a file, or take model.onnx.")
            predictor = load(self._storage.path_of(stored), definition)
            with self._lock:
                self._keep(stored, predictor)
        return predictor

    def _find(self, stored: Stored) -> Predictor | None:
        if stored.key not in self._held:
            return None
        self._held.move_to_end(stored.key)
        return self._held[stored.key][0]

    def _keep(self, stored: Stored, predictor: Predictor) -> None:
        self._loading.pop(stored.key, None)
        self._held[stored.key] = predictor, stored.size
        while len(self._held) > self._most or sum(size for _, size in self._held.values()) > self._most_bytes:
            self._held.popitem(last=False)
