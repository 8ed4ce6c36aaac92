"""What a task needs to know of its job."""

from typing import Any

from sqlalchemy import Connection, select

from models.artifacts import VALIDATION
from models.findings import findings_of
from models.tables import Job, Task
from models.tasks import Kind


def facts_of(connection: Connection, job_id: str) -> dict[str, Any]:
    """`id name definition best verdict findings evaluation`, for the model card and for predictions."""
    columns = Job.id, Job.name, Job.definition, Job.best, Job.verdict
    row = connection.execute(select(*columns).where(Job.id == job_id)).one()
    of_job = Task.job_id == job_id, Task.kind == Kind.EVALUATION
    evaluations = connection.execute(select(Task.request, Task.result).where(*of_job).order_by(Task.id))
    own = [found.result for found in evaluations if found.request == VALIDATION]
    said = {"findings": findings_of(connection, job_id), "evaluation": own[0] if own else None}
    return dict(row._mapping) | said
