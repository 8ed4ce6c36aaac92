"""What each command is given: the service, and where to print."""

import functools
import sys
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from cli.failures import Failure
from cli.output import Output
from cli.paths import job_path
from cli.place import Place, place_of

if TYPE_CHECKING:
    from cli.client import Client

LATEST = "latest"


class Session:
    def __init__(self, place: Place, as_json: bool) -> None:
        self.place = place
        self.output = Output(as_json)

    @cached_property
    def client(self) -> "Client":
        # httpx takes longer to import than all else together.
        from cli.client import Client  # noqa: PLC0415

        return Client(self.place)

    def job_id(self, given: str) -> str:
        """A job's id: as it was given, the first word of stdin for `-`, or that of the newest job for `latest`."""
        if given == "-":
            words = sys.stdin.read().split()
            if not words:
                raise Failure("There is no id of a job on stdin.")
            return words[0]
        if given != LATEST:
            return given
        found = self.client.get("/v1/jobs", limit=1)["items"]
        if not found:
            raise Failure("There is no job yet.", "`descent submit FILE` makes one.")
        return str(found[0]["id"])

    def job(self, given: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(job_path(self.job_id(given)))
        return found


def talking(view: Callable[..., Any]) -> Callable[..., Any]:
    """A command that talks to a service: with the options of all of them, and a Session for its first argument."""

    @functools.wraps(view)
    def run(url: str | None, key: str | None, as_json: bool, **given: Any) -> Any:
        return view(Session(place_of(url, key), as_json), **given)

    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the service's answer as JSON."),
        click.option("--key", metavar="KEY", help="API key; default: DESCENT_API_KEY, else that of this machine."),
        click.option("--url", metavar="URL", help="Of the service; default: DESCENT_URL, else this machine."),
    ):
        run = option(run)
    return run


def options(texts: dict[str, str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option for each name, with its text."""

    def add(view: Callable[..., Any]) -> Callable[..., Any]:
        for name, text in reversed(texts.items()):
            view = click.option(f"--{name}", help=text)(view)
        return view

    return add


class JobArgument(click.ParamType):  # type: ignore[type-arg]  # older click has no arguments there
    """A job: its id, `latest`, or `-` for an id on stdin."""

    name = "job"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem  # noqa: PLC0415

        try:
            session = Session(place_of(ctx.params.get("url"), ctx.params.get("key")), as_json=False)
            jobs = session.client.get("/v1/jobs", patience=0.0, limit=50)["items"]
        except Exception:  # a shell that completes shows nothing rather than an error
            return []
        items = [CompletionItem(job["id"], help=f"{job['status']} {job['name']}".strip()) for job in jobs]
        return [
            item for item in (CompletionItem(LATEST, help="the newest"), *items) if item.value.startswith(incomplete)
        ]


JOB = JobArgument()
