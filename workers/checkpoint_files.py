"""The folders of checkpoints, `<data>/checkpoints/<job>/`. A runner writes into them; what removes from them is here.

A job's own run removes what its pointer has left behind. The collector removes whole folders: of jobs that have ended
some time ago, and of those that are deleted. It never touches one of a job that has not ended.
"""

import logging
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, select

from models.claims import Claim
from models.database import database_now
from models.reports import Checkpointed, Report
from models.tables import Job
from workers.training.checkpoints import KEPT, Checkpoints

log = logging.getLogger(__name__)


class CheckpointFiles:
    """Those of one job."""

    def __init__(self, data: Path, job_id: str) -> None:
        self.folder = folder_of(data, job_id)

    def of(self, claim: Claim, every_seconds: float) -> Checkpoints:
        """Where an attempt writes, and from which it goes on."""
        return Checkpoints(self.folder, claim.attempt, every_seconds, claim.checkpoint)

    def collect(self, reports: Sequence[Report]) -> None:
        """Removes all but the newest of those that the reports name, for its pointer has moved, and those kept."""
        names = [report.name for report in reports if isinstance(report, Checkpointed)]
        if not names:
            return
        newest = (self.folder / names[-1]).stat().st_mtime_ns
        for path in self.folder.iterdir():
            # A torn one is left by a runner that was killed; what is newer is being written, and may be renamed by now.
            with suppress(FileNotFoundError):
                if path.name != names[-1] and not path.name.startswith(KEPT) and path.stat().st_mtime_ns <= newest:
                    path.unlink()


def folder_of(data: Path, job_id: str) -> Path:
    return data.absolute() / "checkpoints" / job_id


def collect_ended(connection: Connection, data: Path, retention_seconds: float) -> list[str]:
    """Removes the folders of jobs that ended so long ago or are there no more, and names those jobs."""
    present = [path.name for path in folder_of(data, "").glob("job_*")]
    ended_before = database_now() - retention_seconds
    kept = select(Job.id).where(Job.id.in_(present), (Job.finished_at.is_(None)) | (Job.finished_at >= ended_before))
    keep = set(connection.scalars(kept)) if present else set()
    gone = [job_id for job_id in present if job_id not in keep]
    for job_id in gone:
        shutil.rmtree(folder_of(data, job_id), ignore_errors=True)
    return gone
