"""`descent repair`: a remedy as a new job."""

import json

import click

from cli.commands.diagnose import print_cure
from cli.commands.submit import announced
from cli.paths import job_path
from cli.session import JOB, Session, talking


@click.command()
@click.argument("job", type=JOB)
@click.option("--remedy", metavar="ID", help="Of `descent diagnose`; default: the first of the first fault.")
@click.option("--follow", "-f", "is_followed", is_flag=True, help="Until it has ended, and what came of it.")
@talking
def repair(session: Session, job: str, remedy: str | None, is_followed: bool) -> int:
    """Apply a remedy to a job that has ended: a new job, whose id is printed.

    With --follow the exit code is the verdict of the new job. JOB is an id, `latest`, or `-`: an id on stdin.
    """
    body = json.dumps({} if remedy is None else {"remedy": remedy}).encode()
    child = session.client.post(job_path(session.job_id(job), "repairs"), body)
    code = announced(session, child, is_followed)
    if is_followed and not session.output.as_json:
        diagnosis = session.client.get(job_path(child["id"], "diagnosis"))
        if "repair" in diagnosis:
            print_cure(session.output, diagnosis["repair"])
    return code
