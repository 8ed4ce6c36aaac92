"""`descent compare`: jobs beside one another."""

import json
from collections.abc import Iterator
from typing import Any

import click

from cli.commands.show import METRICS
from cli.failures import Failure
from cli.session import JOB, Session, talking
from cli.texts import number

SHOWN = ("status", "verdict")
MOST = 6
ABSENT = "-"


@click.command()
@click.argument("jobs", type=JOB, nargs=-1, required=True, metavar="JOB [JOB]...")
@talking
def compare(session: Session, jobs: tuple[str, ...]) -> None:
    """Put jobs beside one another, six at most: verdicts, findings, best metrics, and where their definitions differ.
    One job alone is put beside its parent.

    JOB is an id or `latest`.
    """
    if len(jobs) > MOST:
        raise click.UsageError(f"{len(jobs)} jobs are too many: {MOST} fit beside one another.")
    found = [session.job(job) for job in jobs]
    if len(found) == 1:
        found.insert(0, _parent(session, found[0]))
    differing = differences([job["definition"] for job in found])
    if session.output.as_json:
        items = [{"pointer": pointer, "values": values} for pointer, values in differing.items()]
        session.output.json({"jobs": found, "differences": items})
        return
    session.output.table(["", *(job["id"] for job in found)], list(_rows(found, differing)))


def _parent(session: Session, job: dict[str, Any]) -> dict[str, Any]:
    if job["parent"] is None:
        raise Failure(f"{job['id']} has no parent.", "Name two jobs or more.")
    return session.job(job["parent"])


def _rows(jobs: list[dict[str, Any]], differing: dict[str, list[Any]]) -> Iterator[list[str]]:
    yield ["name", *(job["name"] or ABSENT for job in jobs)]
    for name in SHOWN:
        yield [name, *(job[name] for job in jobs)]
    yield ["findings", *(", ".join(one["code"] for one in job["findings"]) or ABSENT for job in jobs)]
    bests = [job["best"] or {} for job in jobs]
    for name in ("epoch", *METRICS):
        if any(best.get(name) is not None for best in bests):
            yield [f"best {name}", *(number(best.get(name)) for best in bests)]
    for pointer, values in differing.items():
        yield [pointer, *(ABSENT if value is None else json.dumps(value) for value in values)]


def differences(definitions: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """By JSON Pointer the values that are not the same in all of them; None where there is no such field. Names and
    tags say nothing of the training."""
    flat = [dict(_leaves(definition)) for definition in definitions]
    pointers = dict.fromkeys(pointer for one in flat for pointer in one)
    found = {pointer: [one.get(pointer) for one in flat] for pointer in pointers}
    told = (pointer for pointer in found if not pointer.startswith(("/name", "/tags")))
    return {pointer: found[pointer] for pointer in told if any(value != found[pointer][0] for value in found[pointer])}


def _leaves(value: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """Lists are leaves: half a list of widths says little."""
    if isinstance(value, dict):
        for name, inside in value.items():
            yield from _leaves(inside, f"{pointer}/{name}")
    else:
        yield pointer, value
