"""`descent predict`: what a trained network says of new rows."""

import json
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import click

from cli.failures import Failure
from cli.paths import job_path
from cli.session import JOB, Session, talking
from cli.texts import number

FILES = {".csv": "text/csv", ".parquet": "application/vnd.apache.parquet"}
POLL_SECONDS = 0.3


@click.command()
@click.argument("job", type=JOB)
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--allow-unhealthy", is_flag=True, help="Also of a job whose verdict is unhealthy.")
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False), help="Of a CSV or Parquet FILE: where the result goes."
)
@talking
def predict(session: Session, job: str, file: BinaryIO, allow_unhealthy: bool, output: str | None) -> None:
    """Predict for the rows in FILE (default: stdin).

    A JSON file has a list of rows, in the data's own units, or {"inputs": [...]}; a line is printed for each. A .csv or
    .parquet file is predicted by a worker, and the result is a Parquet file.
    """
    job_id = session.job_id(job)
    path = job_path(job_id, "predictions")
    query = {"allow_unhealthy": "true"} if allow_unhealthy else {}
    media_type = FILES.get(Path(file.name).suffix.lower()) if isinstance(file.name, str) else None
    if media_type is not None:
        _predict_file(session, path, query, file, media_type, output)
        return
    if output is not None:
        raise click.UsageError("--output is for a .csv or .parquet file; of other rows the answer is printed.")
    reply = session.client.post(path, _body(file.read()), params=query)
    if session.output.as_json:
        session.output.json(reply)
    else:
        print_outputs(reply["outputs"])


def _body(content: bytes) -> bytes:
    """Rows alone are what the service calls `inputs`; all else is sent as it is."""
    return b'{"inputs": %b}' % content if content.lstrip().startswith(b"[") else content


def print_outputs(outputs: list[Any]) -> None:
    """A line each: the class and its probability, or the value."""
    for output in outputs:
        print("\t".join(map(_said, output)) if isinstance(output, list) else _said(output))


def _said(output: dict[str, Any]) -> str:
    if "class" in output:
        return f"{output['class']}\t{number(output['probabilities'][output['class']])}"
    value = output["value"]
    return json.dumps(value) if isinstance(value, list | None) else number(value, 7)


def _predict_file(
    session: Session, path: str, query: dict[str, str], file: BinaryIO, media_type: str, output: str | None
) -> None:
    if output is None:
        raise click.UsageError("Say where the result goes: --output FILE.parquet.")
    content, headers = file.read(), {"Content-Type": media_type}
    reply = session.client.ask("POST", path, repeatable=False, content=content, headers=headers, params=query)
    task = session.client.json(reply)
    while task["status"] in ("queued", "running"):
        time.sleep(POLL_SECONDS)
        task = session.client.get(f"{path}/{task['id']}")
    if task["status"] == "failed":
        raise Failure(f"{task['error']['code']}: {task['error']['detail']}")
    result = task["result"]
    with session.output.progress(output, result["size"]) as told:
        session.client.save(result["url"], Path(output), result["sha256"], told)
    if session.output.as_json:
        session.output.json(task)
    else:
        print(f"{result['rows']} rows: {output}", file=sys.stderr)
