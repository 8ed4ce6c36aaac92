"""`descent textbook`: claims about why networks learn or do not, and the jobs that show them."""

import json
from typing import Any

import click

from cli.failures import Failure
from cli.output import Output
from cli.paths import path_of
from cli.session import Session, talking


@click.command()
@click.argument("name", required=False)
@click.option("--submit", "job", metavar="JOB", help="Submit this job of the claim.")
@click.option("--follow", "-f", "is_followed", is_flag=True, help="With --submit: until it has ended.")
@talking
def textbook(session: Session, name: str | None, job: str | None, is_followed: bool) -> int:
    """List the claims of the textbook; show the claim NAME with its jobs; or submit one of them.

    With --json a job of a claim can be changed before: `descent textbook xor --json | jq .jobs.perceptron > job.json`.
    """
    if name is None:
        if job is not None:
            raise click.UsageError("--submit needs the NAME of a claim.")
        _list(session)
        return 0
    chapter = session.client.get(path_of("textbook", name))
    if job is not None:
        return _submit(session, chapter, job, is_followed)
    if session.output.as_json:
        session.output.json(chapter)
    else:
        _print(session.output, chapter)
    return 0


def _list(session: Session) -> None:
    items = session.client.get("/v1/textbook")["items"]
    if session.output.as_json:
        session.output.json(items)
    else:
        session.output.table(
            ("name", "claim", "jobs"), [[one["name"], one["claim"], "; ".join(one["jobs"])] for one in items]
        )


def _submit(session: Session, chapter: dict[str, Any], job: str, is_followed: bool) -> int:
    from cli.commands.submit import announced  # noqa: PLC0415

    if job not in chapter["jobs"]:
        raise Failure(f"{chapter['name']} has no job {job!r}.", f"It has {', '.join(chapter['jobs'])}.")
    made = session.client.post("/v1/jobs", json.dumps(chapter["jobs"][job]).encode())
    return announced(session, made, is_followed)


def _print(output: Output, chapter: dict[str, Any]) -> None:
    output.line((chapter["title"], "bold"))
    for name in ("claim", "why", "expected"):
        output.fact(name, chapter[name])
    for name, definition in chapter["jobs"].items():
        said = ", ".join(chapter["diagnoses"].get(name, []))
        trains = f"{definition['network']['family']} on {definition['data']['dataset']}"
        output.fact("job", (name, "bold"), f": {trains}{f'; to be diagnosed as {said}' if said else ''}")
