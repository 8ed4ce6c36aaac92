"""`descent download`: the files of a job."""

import sys
import time
from pathlib import Path
from typing import Any

import click

from cli.failures import Failure
from cli.paths import job_path
from cli.session import JOB, Session, talking
from cli.texts import size

PENDING_SECONDS = 60.0
"""For files that a worker is making: they take a moment after the end of a job."""
PICTURES = ("loss", "gradients", "flow", "time", "network")


@click.command()
@click.argument("job", type=JOB)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--output", "-o", "target", type=click.Path(), help="Folder; `-` for one file on stdout.")
@talking
def download(session: Session, job: str, names: tuple[str, ...], target: str | None) -> None:
    """Download files of a job that has succeeded, checked by their sha256.

    NAME is one or more of weights.safetensors, model.onnx, definition.json, model-card.md, checkpoint.pt, written into
    the folder of --output (default: this one). Without a name all of them are, below a folder of the job's id, with the
    pictures that the model card shows beside it.
    """
    job_id = session.job_id(job)
    files = _ready(session, job_id, names)
    if target == "-":
        if len(files) != 1:
            raise click.UsageError("Only one file can go to stdout: name it.")
        _to_stdout(session, files[0])
        return
    folder = Path(target or ("." if names else job_id))
    inside = folder if names else folder / "artifacts"
    saved = [_save(session, file, inside) for file in files]
    if not names:
        saved += _save_pictures(session, job_id, folder / "plots")
    if session.output.as_json:
        session.output.json([str(path) for path in saved])
        return
    for path in saved:
        session.output.line(str(path))


def _ready(session: Session, job_id: str, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The files that are wanted, once none of them is being made any more. Of all files those that could be made.

    Raises:
        Failure: one that was named is not there, and will not be.
    """
    end = time.monotonic() + PENDING_SECONDS
    while True:
        known = {file["name"]: file for file in session.client.get(job_path(job_id, "artifacts"))["items"]}
        _require(job_id, known, names)
        wanted = [known[name] for name in names or known]
        if all(file["state"] != "pending" for file in wanted):
            return [file for file in wanted if file["state"] == "ready"]
        if time.monotonic() > end:
            raise Failure("The files are still being made.", "Try again in a moment.")
        time.sleep(0.3)


def _require(job_id: str, known: dict[str, dict[str, Any]], names: tuple[str, ...]) -> None:
    if not known:
        raise Failure(
            f"{job_id} has no files: only a job that has succeeded does.", f"`descent show {job_id}` says more."
        )
    for name in names:
        if name not in known:
            raise Failure(f"{job_id} has no file {name!r}.", f"It has {', '.join(known)}.")
        if known[name]["state"] == "failed":
            raise Failure(f"There is no {name}: {known[name]['reason']}")


def _save(session: Session, file: dict[str, Any], folder: Path) -> Path:
    # The service's name, and no path: nothing is written elsewhere.
    target = folder / Path(file["name"]).name
    _make(folder)
    with session.output.progress(f"{file['name']} ({size(file['size'])})", file["size"]) as told:
        session.client.save(file["url"], target, file["sha256"], told)
    return target


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"The folder {folder} cannot be made: {error.strerror}.") from None


def _save_pictures(session: Session, job_id: str, folder: Path) -> list[Path]:
    _make(folder)
    targets = [folder / f"{name}.svg" for name in PICTURES]
    for target in targets:
        session.client.save(job_path(job_id, "plots", target.name), target, None, lambda _: None)
    return targets


def _to_stdout(session: Session, file: dict[str, Any]) -> None:
    found = session.client.read(file["url"], sys.stdout.buffer.write, lambda _: None)
    sys.stdout.buffer.flush()
    if found != file["sha256"]:
        raise Failure(f"{file['name']} came damaged: its sha256 is not {file['sha256']}.", "Try again.")
