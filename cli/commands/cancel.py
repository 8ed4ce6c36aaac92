"""`descent cancel`: stops jobs."""

import json

import click

from cli.paths import job_path
from cli.session import JOB, Session, talking


@click.command()
@click.argument("jobs", type=JOB, nargs=-1, required=True, metavar="JOB [JOB]...")
@click.option("--force", is_flag=True, help="Now, not after the step that is being computed.")
@talking
def cancel(session: Session, jobs: tuple[str, ...], force: bool) -> None:
    """Stop jobs that have not ended.

    JOB is an id, `latest`, or `-`: an id on stdin.
    """
    body = json.dumps({"mode": "force" if force else "graceful"}).encode()
    found = [session.client.post(job_path(session.job_id(job), "cancel"), body) for job in jobs]
    if session.output.as_json:
        session.output.json(found)
        return
    for job in found:
        session.output.line(f"{job['id']} ", job["status"])
