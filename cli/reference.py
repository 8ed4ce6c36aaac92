"""`python -m cli.reference`: writes the commands of docs/cli.md anew, from what `--help` says."""

from collections.abc import Iterator
from pathlib import Path

import click

from cli.main import descent

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
MARK = "## All commands\n"
WIDTH = 100


def page(text: str) -> str:
    """The page with its commands; what stands before them is written by hand."""
    by_hand, _, _ = text.partition(MARK)
    return f"{by_hand}{MARK}\n" + "\n".join(_described(descent, "descent"))


def _described(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[str]:
    settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    yield f"### {context.command_path}\n\n```\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for inside in command.list_commands(context):
            yield from _described(command.commands[inside], inside, context)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
