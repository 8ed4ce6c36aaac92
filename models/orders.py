"""What a task needs to know of its job."""

from typing import Any

from sqlalchemy import Connection, select

from models.artifacts import VALIDATION
from models.findings import findings_of
from models.tables import Job, Task
from models.tasks import Kind
from models.trail import NO_TRAIL, Trail


def facts_of(connection: Connection, job_id: str) -> dict[str, Any]:
    """`id name definition best verdict findings evaluation`, for the model card and for predictions."""
    columns = Job.id, Job.name, Job.definition, Job.best, Job.verdict
    row = connection.execute(select(*columns).where(Job.id == job_id)).one()
    of_job = Task.job_id == job_id, Task.kind == Kind.EVALUATION
    asked = connection.execute(select(Task.id, Task.request).where(*of_job).order_by(Task.id))
    own = next((found.id for found in asked.all() if found.request == VALIDATION), None)
    # Of the others there may be many, with large results.
    evaluation = connection.scalar(select(Task.result).where(Task.id == own)) if own else None
    said = {"findings": findings_of(connection, job_id), "evaluation": evaluation}
    return dict(row._mapping) | said


def trail_of(connection: Connection, job_id: str) -> Trail:
    """Of the request that made the job."""
    row = connection.execute(select(Job.request_id, Job.traceparent).where(Job.id == job_id)).one_or_none()
    return Trail(*row) if row else NO_TRAIL
