"""What an owner uses: jobs that wait, bytes that are kept, and seconds of devices today."""

from dataclasses import dataclass

from sqlalchemy import BindParameter, Connection, Integer, Text, bindparam, cast, func, select

from models.database import database_now
from models.questions import Question
from models.states import HELD, Status
from models.tables import Artifact, Dataset, DeviceDay, Job

DAY_SECONDS = 86_400
TODAY = cast(func.floor(database_now() / DAY_SECONDS), Integer)

_jobs, _artifacts, _datasets, _days = Job.__table__.c, Artifact.__table__.c, Dataset.__table__.c, DeviceDay.__table__.c
_owner: BindParameter[str] = bindparam("owner", type_=Text)
_queued = select(func.count()).where(_jobs.owner == _owner, _jobs.status == Status.QUEUED)
_uploads = select(func.coalesce(func.sum(_datasets.size), 0)).where(_datasets.owner == _owner)
_models = (
    select(func.coalesce(func.sum(_artifacts.size), 0))
    .select_from(Artifact.__table__.join(Job.__table__, _artifacts.job_id == _jobs.id))
    .where(_jobs.owner == _owner)
)
_ended = select(func.coalesce(func.sum(_days.seconds), 0.0)).where(_days.owner == _owner, _days.day == TODAY)
_runs = select(func.coalesce(func.sum((database_now() - _jobs.claimed_at) * _jobs.wanted_slots), 0.0)).where(
    _jobs.owner == _owner, _jobs.status.in_(sorted(HELD))
)
USAGE = Question(
    select(
        _queued.scalar_subquery().label("queued_jobs"),
        _uploads.scalar_subquery().label("upload_bytes"),
        _models.scalar_subquery().label("model_bytes"),
        _ended.scalar_subquery().label("ended_seconds"),
        _runs.scalar_subquery().label("running_seconds"),
        database_now().label("now"),
    )
)


@dataclass(frozen=True)
class Usage:
    queued_jobs: int
    stored_bytes: int
    """Of uploads as they were sent, and of the files of jobs."""
    device_seconds: float
    """Of attempts that ended today, and of those that run."""
    now: float

    @property
    def day_ends_seconds(self) -> int:
        """Until midnight (UTC)."""
        return int(DAY_SECONDS - self.now % DAY_SECONDS) + 1


def usage_of(connection: Connection, owner: str) -> Usage:
    row = USAGE.one(connection, owner=owner)
    stored = int(row.upload_bytes) + int(row.model_bytes)
    return Usage(row.queued_jobs, stored, row.ended_seconds + max(row.running_seconds, 0.0), row.now)
