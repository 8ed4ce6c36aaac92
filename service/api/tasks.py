"""Tasks of a job, which a worker does beside the jobs: what evaluations and predictions for files have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from flask import Response, g, jsonify
from sqlalchemy import Row

from models import queries, tasks
from models.tasks import Kind
from service.api.jobs import POLL_AFTER_SECONDS, JobPath
from service.context import context
from service.cursors import answer_page, decode_id
from service.openapi import Page
from service.path_ids import id_of
from service.problems import typed
from service.times import rfc3339

SHOWN = ("dataset", "parameters", "part")
"""Of a request."""


class TaskPath(JobPath):
    task_id: Annotated[str, id_of("task")]
    """As in the list."""


def show_task(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "job": row.job_id,
        "status": row.status,
        "request": {name: row.request[name] for name in SHOWN if name in row.request},
        "result": row.result,
        "error": typed(row.error),
        "created_at": rfc3339(row.created_at),
        "started_at": rfc3339(row.started_at),
        "finished_at": rfc3339(row.finished_at),
    }


@dataclass(frozen=True)
class Tasks:
    """The answers about tasks of one kind."""

    kind: Kind
    name: str
    """In their URLs."""
    show: Callable[[Row[Any]], dict[str, Any]] = show_task

    def url(self, job_id: str, task_id: str) -> str:
        return f"/v1/jobs/{job_id}/{self.name}/{task_id}"

    def find(self, job_id: str, task_id: str) -> Row[Any]:
        """
        Raises:
            NotFound
        """
        with context().database.read() as connection:
            return tasks.find(connection, job_id, g.sees, self.kind, task_id)

    def answer_made(self, job_id: str, task_id: str, status: int = 202) -> Response:
        """The answer to a POST that made this task."""
        reply = jsonify(self.show(self.find(job_id, task_id)))
        reply.status_code = status
        reply.headers["Location"] = self.url(job_id, task_id)
        return reply

    def answer_one(self, path: TaskPath) -> Response:
        row = self.find(path.job_id, path.task_id)
        reply = jsonify(self.show(row))
        if row.finished_at is None:
            reply.headers["Retry-After"] = str(POLL_AFTER_SECONDS)
        return reply

    def answer_page(self, job_id: str, query: Page) -> Response:
        """Those of a job, newest first."""
        before = decode_id(query.after)
        with context().database.read() as connection:
            queries.find_version(connection, job_id, g.sees)
            rows = tasks.tasks_of(connection, job_id, g.sees, self.kind, before, query.limit + 1)
        return answer_page(rows, query.limit, self.show)
