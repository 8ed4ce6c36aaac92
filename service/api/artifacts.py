"""`/v1/jobs/{id}/artifacts`: the files of a job that succeeded."""

from typing import Any

from flask import Response, g, jsonify
from sqlalchemy import Row

from models import artifacts, queries
from models.artifacts import MEDIA_TYPES, NAMES, State
from models.errors import ModelPending, NotFound
from service.api.jobs import JobPath
from service.context import context
from service.openapi import BINARY, Query, answers, blueprint
from service.ranges import answer_stored
from service.replies import ArtifactsReply
from service.times import rfc3339

api = blueprint("artifacts", "What a job that succeeded leaves: its model, for other programs.")

FILE: dict[str, Any] = {
    "description": "The file; 206 and a part of it for a `Range`",
    "headers": {
        name: {"schema": {"type": "string"}, "description": text}
        for name, text in {
            "ETag": "The sha256; `If-None-Match` and `If-Range` take it",
            "Repr-Digest": "The sha256 of the whole file (RFC 9530)",
            "Content-Disposition": "With the file's name",
            "Accept-Ranges": "`bytes`",
        }.items()
    },
    "content": {
        "application/octet-stream": {"schema": BINARY},
        "application/json": {"schema": {"type": "object"}},
        "text/markdown": {"schema": {"type": "string"}},
    },
}


class ArtifactPath(JobPath):
    name: str
    """As in the list."""


@api.get("/v1/jobs/<job_id>/artifacts", summary="The files of a job", responses=answers(200, ArtifactsReply, 404, 422))
def list_artifacts(path: JobPath, query: Query) -> Response:
    """None while the job has not succeeded. `pending` files are being made by a worker, which takes a moment after the
    job's end; `model.onnx` appears only when it computed what the trained network computes, at other numbers of rows
    and other lengths."""
    with context().database.read() as connection:
        queries.find_version(connection, path.job_id, g.sees)
        rows = artifacts.artifacts_of(connection, path.job_id, g.sees)
    return jsonify(items=[_shown(row) for row in rows], next=None)


@api.get(
    "/v1/jobs/<job_id>/artifacts/<name>",
    summary="One file",
    responses=answers(200, None, 404, 409, 416, 422) | {200: FILE},
)
def get_artifact(path: ArtifactPath, query: Query) -> Response:
    """Streamed, whole or a `Range` of it."""
    shared = context()
    with shared.database.read() as connection:
        row = artifacts.find_file(connection, path.job_id, g.sees, path.name)
    require_ready(row, path.name)
    stored = artifacts.stored_of(row)
    return answer_stored(shared.storage, stored, MEDIA_TYPES[path.name], path.name, row.ready_at)


def require_ready(row: Any, name: str) -> None:
    """
    Raises:
        NotFound: there is no such file, nor will there be.
        ModelPending
    """
    if row.state is None:
        known = f"a job that has succeeded has {', '.join(NAMES)}."
        raise NotFound(f"The job, which is {row.status}, has no file {name[:100]!r}; {known}")
    if row.state == State.FAILED:
        raise NotFound(f"There is no {name}. {row.reason}")
    if row.state == State.PENDING:
        raise ModelPending(f"{name} is being made.")


def _shown(row: Row[Any]) -> dict[str, Any]:
    return {
        "name": row.name,
        "state": row.state,
        "reason": row.reason,
        "size": row.size,
        "sha256": row.sha256,
        "media_type": MEDIA_TYPES[row.name],
        "ready_at": rfc3339(row.ready_at),
        "url": f"/v1/jobs/{row.job_id}/artifacts/{row.name}",
    }
