"""`descent jobs`: a list."""

from itertools import islice
from typing import Any

import click

from cli.session import Session, options, talking
from cli.texts import number

STATUSES = ("queued", "running", "pausing", "paused", "cancelling", "succeeded", "failed", "cancelled")
VERDICTS = ("healthy", "warning", "unhealthy", "unknown")
COLUMNS = ("id", "name", "status", "verdict", "epoch", "skill", "data", "findings", "created")
FILTERS = {
    "finding": "That have this finding, e.g. vanishing_depth.",
    "family": "dnn, cnn, rnn or sequential.",
    "dataset": "A name or id.",
    "tag": "One of their tags.",
    "name": "Just this name.",
    "parent": "Repairs, retries and clones of this job.",
    "metric": "Of the best epoch, e.g. 'validation_loss<0.1'.",
    "created-after": "A time, as 2026-01-31T12:00:00Z.",
    "created-before": "A time, likewise.",
}


@click.command()
@click.option("--status", type=click.Choice(STATUSES), help="How far they are.")
@click.option("--verdict", type=click.Choice(VERDICTS), help="Of their last diagnosis.")
@options(FILTERS)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="So many at most.")
@talking
def jobs(session: Session, limit: int, **wanted: str | None) -> None:
    """List jobs, the newest first; all conditions hold at once.

    In a pipe a line is a job, its values are divided by tabs, the id comes first.
    """
    pages = session.client.every("/v1/jobs", limit=min(limit, 200), **wanted)
    found = list(islice(pages, limit))
    if session.output.as_json:
        session.output.json(found)
    else:
        session.output.table(COLUMNS, [_row(job) for job in found])


def _row(job: dict[str, Any]) -> list[str]:
    progress, best = job["progress"], job["best"] or {}
    findings = ",".join(finding["code"] for finding in job["findings"])
    epoch = f"{progress['epoch']}/{progress['epochs']}"
    skill = number(best.get("validation_skill", best.get("skill")), 3)
    created = job["created_at"][:19].replace("T", " ")
    dataset = job["definition"]["data"]["dataset"]
    return [job["id"], job["name"], job["status"], job["verdict"], epoch, skill, dataset, findings, created]
