"""A job as the API shows it, from its row."""

from typing import Any

from sqlalchemy import Row

from models.outlook import remaining_seconds
from models.states import TERMINAL, Status
from service.problems import typed
from service.times import rfc3339

LINKS = {"self": "", "gradients_time": "/gradients/time", "flight": "/gradients/flight"} | {
    name: f"/{name}"
    for name in (
        *(
            "events",
            "metrics",
            "layers",
            "gradients",
            "diagnosis",
            "summary",
            "artifacts",
            "predictions",
            "evaluations",
        ),
        *("cancel", "pause", "resume", "retry", "clones", "repairs"),
    )
}
REPAIR = ("id", "status", "verdict", "remedy", "finding")
STATUS_OF_EVENT = {
    "job.started": Status.RUNNING,
    "job.requeued": Status.QUEUED,
    "job.resumed": Status.QUEUED,
}


def show_job(row: Row[Any], queue: dict[str, Any] | None, max_attempts: int) -> dict[str, Any]:
    """One job, from its row and its place in the queue. `max_attempts` is the setting."""
    return {
        "id": row.id,
        "name": row.name,
        "tags": row.tags,
        "priority": row.priority,
        "status": row.status,
        "terminal": row.status in TERMINAL,
        "status_reason": row.status_reason,
        "verdict": row.verdict,
        "findings": [{"code": code, "severity": severity} for _, code, severity in sorted(row.findings or ())],
        "attempt": row.attempt,
        "max_attempts": max_attempts,
        "progress": _progress(row),
        "queue": queue,
        "metrics": row.metrics,
        "best": row.best,
        "error": typed(row.error),
        "definition": row.definition,
        "parent": row.parent,
        "origin": row.origin,
        "repairs": [dict(zip(REPAIR, child, strict=True)) for child in sorted(row.repairs or ())],
        "device": row.device,
        "worker": row.worker,
        "runs": row.runs or [],
        "weights_sha256": row.weights_sha256,
        "statistics_cost": {"fraction": row.statistics_cost, "lost_samples": row.statistics_lost},
        "timings": _timings(row),
        "created_at": rfc3339(row.created_at),
        "started_at": rfc3339(row.started_at),
        "first_step_at": rfc3339(row.first_step_at),
        "finished_at": rfc3339(row.finished_at),
        "history": [_passage(*event) for event in sorted(row.history or ())],
        "links": {name: f"/v1/jobs/{row.id}{path}" for name, path in LINKS.items()},
    }


def _progress(row: Row[Any]) -> dict[str, Any]:
    most: float | None = row.definition["training"].get("max_seconds")
    trained = row.step * (row.seconds_per_step or 0.0)
    fraction = max(row.step / row.steps if row.steps else 0.0, min(trained / most, 1.0) if most else 0.0)
    eta = None
    if row.status == Status.RUNNING:
        eta = remaining_seconds(row.step, row.steps, row.seconds_per_step, most)
    progress = {"epoch": row.epoch, "epochs": row.epochs, "step": row.step, "steps": row.steps}
    return progress | {"fraction": round(fraction, 4), "eta_seconds": None if eta is None else round(eta, 1)}


def _timings(row: Row[Any]) -> dict[str, Any] | None:
    if row.timings is None:
        return None
    queued: float = max(0.0, (row.started_at or row.created_at) - row.created_at)
    return {"queued": queued, **row.timings}


def _passage(_: int, kind: str, at: float, attempt: int) -> dict[str, Any]:
    status = STATUS_OF_EVENT.get(kind, kind.removeprefix("job."))
    return {"status": status, "at": rfc3339(at), "attempt": attempt}
