"""The command `descent`, and what becomes of its failures."""

import json
import os
import sys
from typing import Any

import click

from cli import exits
from cli.commands.cancel import cancel
from cli.commands.compare import compare
from cli.commands.completion import completion
from cli.commands.datasets import datasets
from cli.commands.diagnose import diagnose
from cli.commands.download import download
from cli.commands.jobs import jobs
from cli.commands.keys import keys
from cli.commands.predict import predict
from cli.commands.repair import repair
from cli.commands.serve import serve
from cli.commands.show import show
from cli.commands.submit import submit
from cli.commands.textbook import textbook
from cli.failures import Failure, Refused

EPILOG = (
    "Exit codes: 0 done, 1 refused, 2 wrong command line, 3 no service, 4 no key, 130 Ctrl-C; of a job that was "
    "followed 10 unhealthy, 11 failed, 12 cancelled, 13 not judged."
)
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
COMMANDS = (
    serve, submit, jobs, show, diagnose, repair, compare, cancel, download, predict, datasets, textbook, keys,
    completion,
)  # fmt: skip
"""In the order of use."""


class InOrder(click.Group):
    """Lists its commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # One that has its errno Click takes for itself, and exits with 1.
            raise BrokenPipeError from None


@click.group(cls=InOrder, epilog=EPILOG, context_settings=SETTINGS)
@click.version_option(package_name="descent")
def descent() -> None:
    """Train networks by a Descent service, and read why they learned or did not.

    The service is the one at DESCENT_URL, by default that of this machine (`descent serve`); the key is
    DESCENT_API_KEY, by default the one that the service of this machine keeps in its data folder.
    """


for command in COMMANDS:
    descent.add_command(command)


def main() -> None:
    """The console script."""
    try:
        code = descent.main(prog_name="descent", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except Failure as failure:
        tell(failure)
        sys.exit(failure.code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(exits.INTERRUPTED)
    except BrokenPipeError:
        # What is left in the buffer has nowhere to go, and Python would complain of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(exits.BROKEN_PIPE)
    except OSError as error:  # a full disk, a folder that may not be written
        tell(Failure(f"{error.filename or 'Output'}: {error.strerror}."))
        sys.exit(exits.REFUSED)
    sys.exit(code if isinstance(code, int) else 0)


def tell(failure: Failure) -> None:
    """On stderr; a problem of the service as JSON, where JSON was asked for."""
    if isinstance(failure, Refused) and "--json" in sys.argv[1:]:
        print(json.dumps(failure.problem, indent=2), file=sys.stderr)
        return
    print(f"descent: {failure}", file=sys.stderr)
    if failure.hint:
        print(f"  {failure.hint}", file=sys.stderr)
