"""Jobs that are trained in this process, and what they leave."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from models.artifacts import Made
from models.reports import Ended, ModelKept, Report
from models.settings import Settings
from models.storage import open_storage
from tests.factories import a_definition
from workers.export.export import export
from workers.model_files import ModelFiles
from workers.training.job import train_job

FACTS = {"id": "job_1", "name": "", "best": {"epoch": 1}, "verdict": "healthy", "findings": [], "evaluation": None}


@dataclass
class Trained:
    """One that has succeeded."""

    settings: Settings
    reports: list[Report] = field(default_factory=list)

    @property
    def ended(self) -> Ended:
        found = self.reports[-1]
        assert isinstance(found, Ended)
        return found

    @property
    def kept(self) -> ModelKept:
        assert self.ended.model is not None, self.ended.error
        return self.ended.model

    def export(self) -> dict[str, Made]:
        assert self.kept.checkpoint is not None
        made = export(open_storage(self.settings), "job_1", self.kept.checkpoint, FACTS)
        return {one.name: one for one in made}

    def path_of_checkpoint(self) -> Path:
        assert self.kept.checkpoint is not None
        return open_storage(self.settings).path_of(self.kept.checkpoint)

    def path(self, made: Made) -> Path:
        assert made.stored is not None, made.reason
        return open_storage(self.settings).path_of(made.stored)


def trained(folder: Path, datasets: Path = Path(), **changes: Any) -> Trained:
    """A small job; `changes` replace its top-level fields."""
    definition = a_definition(**{"training": {"epochs": 2, "max_steps": 8}} | changes)
    job = Trained(Settings(data=folder))
    keep = ModelFiles(job.settings, "job_1").keep
    train_job(definition, datasets, torch.device("cpu"), job.reports.append, lambda: None, keep=keep)
    return job
