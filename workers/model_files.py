"""Where a runner stores the model of its job, before the job ends."""

import logging
import tempfile
import time
from dataclasses import dataclass
from typing import Any

from models.artifacts import CHECKPOINT, fresh_key
from models.reports import ModelKept
from models.settings import Settings
from models.storage import StorageAway, Stored, open_storage, rest_of

log = logging.getLogger(__name__)

TRIES = 3
PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class ModelFiles:
    """Of one job."""

    settings: Settings
    job_id: str

    def keep(self, state: dict[str, Any]) -> ModelKept:
        """Stores it, or says why that could not be done: the job has its results all the same."""
        for left in reversed(range(TRIES)):
            try:
                return ModelKept(self._write(state))
            except (OSError, RuntimeError, MemoryError, StorageAway) as problem:
                log.warning("%s: its model could not be stored", self.job_id, exc_info=True)
                reason = f"The model could not be stored: {type(problem).__name__}: {problem}"[:500]
            if left:
                time.sleep(PAUSE_SECONDS)
        return ModelKept(None, reason)

    def _write(self, state: dict[str, Any]) -> Stored:
        import torch  # noqa: PLC0415  supervisors hand these files to their runners, and never import torch

        # Nameless: nothing is left of it, whenever the process ends.
        with tempfile.TemporaryFile(dir=self.settings.data) as file:
            torch.save(state, file)
            file.seek(0)
            return open_storage(self.settings).write(fresh_key(self.job_id, CHECKPOINT), rest_of(file))
