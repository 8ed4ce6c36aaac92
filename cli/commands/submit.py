"""`descent submit`: a definition becomes a job."""

import json
from typing import Any, BinaryIO

import click

from cli.exits import code_of
from cli.failures import Failure
from cli.session import Session, talking


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--follow", "-f", "is_followed", is_flag=True, help="Until it has ended: progress, metrics, verdict.")
@click.option("--name", help="In the place of the name in FILE.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="One more tag; may be given several times.")
@click.option("--idempotency-key", metavar="TEXT", help="The same key with the same job makes no second one.")
@talking
def submit(
    session: Session,
    file: BinaryIO,
    is_followed: bool,
    name: str | None,
    tags: tuple[str, ...],
    idempotency_key: str | None,
) -> int:
    """Submit the job that FILE defines, as JSON (`-`: stdin).

    Prints its id. With --follow it waits for the end, prints the verdict, and the exit code says it: 0 healthy or with
    warnings only, 10 unhealthy, 11 failed, 12 cancelled, 13 not judged.
    """
    content = changed(file.read(), name, tags)
    job: dict[str, Any] = session.client.post("/v1/jobs", content, idempotency_key)
    return announced(session, job, is_followed)


def changed(content: bytes, name: str | None, tags: tuple[str, ...]) -> bytes:
    """The definition with what the options say. Where they say nothing it is sent as it is, and the service says what
    is wrong with it."""
    if name is None and not tags:
        return content
    try:
        definition = json.loads(content)
    except ValueError as error:
        raise Failure(f"The file is not JSON: {error}.") from None
    if not isinstance(definition, dict):
        raise Failure("The file is no definition of a job: it should be a JSON object.")
    if name is not None:
        definition["name"] = name
    if tags:
        definition["tags"] = [*definition.get("tags", []), *tags]
    return json.dumps(definition).encode()


def announced(session: Session, job: dict[str, Any], is_followed: bool) -> int:
    """A new job is shown, or followed to its end. Gives the exit code."""
    output = session.output
    if not is_followed:
        if output.as_json:
            output.json(job)
        else:
            print(job["id"], flush=True)
            output.note(f"It is {job['status']}. `descent show {job['id']} --follow` follows it.")
        return 0
    if not output.as_json:
        print(job["id"], flush=True)
    return ended(session, job["id"])


def ended(session: Session, job_id: str) -> int:
    """The end of a job, once it has come. Gives the exit code."""
    from cli.commands.show import print_end  # noqa: PLC0415
    from cli.follow import follow  # noqa: PLC0415

    job = follow(session, job_id)
    if session.output.as_json:
        session.output.json(job)
    else:
        print_end(session, job)
    return code_of(job)
