"""`descent datasets`: data to train on, built in and your own."""

import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click

from cli.failures import Failure
from cli.output import styled
from cli.paths import path_of
from cli.session import Session, options, talking
from cli.texts import size

CHUNK = 1 << 18
POLL_SECONDS = 0.3
COLUMNS = ("id", "name", "status", "kind", "task", "rows", "shape", "size")
OPTIONS = {
    "target": "The column to predict.",
    "features": "Columns that a network is given, divided by commas.",
    "task": "classification or regression.",
    "format": "csv, parquet, npz or images; default: by the content.",
    "group": "Column whose equal values belong together.",
    "time": "Column that orders the rows.",
    "text": "Column of texts.",
    "length": "Rows of a sequence.",
    "horizon": "Rows from its last to its target.",
    "stride": "Rows from one sequence to the next.",
    "delimiter": "Of a CSV.",
    "layout": "channels_length: an NPZ of signals.",
}
"""Of an upload; the rest is in docs/datasets.md and can be corrected by PATCH."""


@click.group()
def datasets() -> None:
    """Data to train on: list, show, upload, delete."""


@datasets.command("list")
@click.option("--own", is_flag=True, help="Not the built-in ones.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="So many at most.")
@talking
def list_datasets(session: Session, own: bool, limit: int) -> None:
    """List the data sets there are."""
    builtin = "false" if own else None
    found = list(islice(session.client.every("/v1/datasets", limit=min(limit, 200), builtin=builtin), limit))
    if session.output.as_json:
        session.output.json(found)
    else:
        session.output.table(COLUMNS, [_row(one) for one in found])


@datasets.command()
@click.argument("name")
@talking
def show(session: Session, name: str) -> None:
    """Show a data set, by its name or id: columns, kinds, shape, warnings."""
    found = session.client.get(path_of("datasets", name))
    if session.output.as_json:
        session.output.json(found)
    else:
        _print(session, found)


@datasets.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="For people; default: that of the file.")
@options(OPTIONS)
@talking
def upload(session: Session, file: Path, name: str | None, **said: str | None) -> None:
    """Upload a CSV, Parquet, NPZ or zip of images; prints its id once it can be trained on.

    The same file with the same options is the same data set.
    """
    count = file.stat().st_size
    query = {"name": name or file.name} | {option: value for option, value in said.items() if value is not None}
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(count)}
    with session.output.progress(f"{file.name} ({size(count)})", count) as told:
        content = partial(_chunks, file, told)
        reply = session.client.ask("POST", "/v1/datasets", content=content, params=query, headers=headers)
    found = _read(session, session.client.json(reply))
    if session.output.as_json:
        session.output.json(found)
        return
    print(found["id"], flush=True)
    for warning in found.get("warnings", []):
        session.output.note(f"{warning['code']}: {warning['detail']}")


def _chunks(file: Path, told: Any) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk
            told(len(chunk))


def _read(session: Session, found: dict[str, Any]) -> dict[str, Any]:
    """The data set, once the service has read it.

    Raises:
        Failure: it cannot be read.
    """
    while found["status"] == "ingesting":
        time.sleep(POLL_SECONDS)
        found = session.client.get(path_of("datasets", found["id"]))
    if found["status"] == "failed":
        raise Failure(f"{found['error']['code']}: {found['error']['detail']}")
    return found


@datasets.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID [ID]...")
@talking
def delete(session: Session, ids: tuple[str, ...]) -> None:
    """Delete data sets of yours that no job uses."""
    for one in ids:
        session.client.ask("DELETE", path_of("datasets", one))
    if session.output.as_json:
        session.output.json(list(ids))


def _row(found: dict[str, Any]) -> list[str]:
    shape = "x".join(map(str, found["input_shape"] or [])) or "-"
    rows = "-" if found["rows"] is None else str(found["rows"])
    status = "built in" if found["builtin"] else found["status"]
    kind, task = found["kind"] or "-", found["task"] or "-"
    return [found["id"], found["name"], status, kind, task, rows, shape, size(found.get("size"))]


def _print(session: Session, found: dict[str, Any]) -> None:
    """Of those that are built in there is less: nobody read them from a file."""
    output = session.output
    output.line((found["id"], "bold"), f"  {found['name']}  ", styled(found["status"]))
    output.line(found["description"])
    shape = " x ".join(map(str, found["input_shape"] or []))
    output.line(f"{found['rows']} rows of kind {found['kind']} [{shape}], {found['task']}, outputs: {found['outputs']}")
    rows = [
        [one["name"], one.get("kind") or "-", str(one["missing"]), str(one.get("distinct") or "-")]
        for one in found.get("columns", [])
    ]
    if rows:
        output.table(("column", "kind", "missing", "distinct"), rows)
    for warning in found.get("warnings", []):
        output.line(("warning ", "yellow"), f"{warning['code']}: {warning['detail']}")
    if found.get("error"):
        output.line(("error ", "bold red"), f"{found['error']['code']}: {found['error']['detail']}")
