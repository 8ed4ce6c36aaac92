"""What a command prints: JSON where it is asked for, tables and colours on a terminal, plain lines in a pipe."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cli.texts import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

NAME_WIDTH = 12
STYLES = {
    "healthy": "green", "warning": "yellow", "unhealthy": "bold red", "unknown": "dim", "fault": "bold red",
    "succeeded": "green", "failed": "bold red", "cancelled": "yellow", "cancelling": "yellow", "running": "cyan",
    "queued": "dim", "paused": "magenta", "pausing": "magenta",
}  # fmt: skip
"""Of words that mean something."""
Cell = tuple[str, str] | str
"""A text, and its style."""


class Output:
    """Answers go to stdout, all else to stderr."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json

    @cached_property
    def console(self) -> "Console":
        return _console(stderr=False)

    @cached_property
    def notes(self) -> "Console":
        return _console(stderr=True)

    @property
    def is_terminal(self) -> bool:
        return sys.stdout.isatty()

    @property
    def has_colours(self) -> bool:
        return self.console.is_terminal and not self.console.no_color and self.console.color_system is not None

    def json(self, value: Any) -> None:
        print(json.dumps(value, indent=2, ensure_ascii=False))

    def line(self, *cells: Cell, indent: int = 0) -> None:
        """Some texts, one behind the other: whole in a pipe, wrapped to the terminal."""
        from rich.padding import Padding  # noqa: PLC0415

        text = _text(cells)
        if self.is_terminal and text:
            self.console.print(Padding(text, (0, 0, 0, indent), expand=False))
        else:
            self.console.print(" " * indent + text.plain, soft_wrap=True)

    def fact(self, name: str, *cells: Cell) -> None:
        """A line with its name before it; one, or a job could be called `x` and, on a line of its own, healthy."""
        cells = tuple(_flat(cell) for cell in cells)
        if not self.is_terminal:
            self.line(f"{name:<{NAME_WIDTH}}", *cells)
            return
        from rich.table import Table  # noqa: PLC0415

        table = Table.grid()
        table.add_column(min_width=NAME_WIDTH)
        table.add_row(_text([(name, "dim")]), _text(cells))
        self.console.print(table)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """With its head on a terminal; in a pipe just values, divided by tabs."""
        if not self.is_terminal:
            for row in rows:
                print("\t".join(plain(" ".join(cell.split())) for cell in row))
            return
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for column in columns:
            table.add_column(column, no_wrap=column == "id", overflow="ellipsis")
        for row in rows:
            table.add_row(*(Text(plain(cell), STYLES.get(cell, "")) for cell in row))
        self.console.print(table)

    def note(self, text: str) -> None:
        """For people, beside the answer: not in a script."""
        if sys.stderr.isatty() and not self.as_json:
            self.notes.print(plain(text), style="dim")

    @contextmanager
    def progress(self, text: str, total: int | None) -> Iterator[Any]:
        """A bar of bytes while something is sent or read; gives a function that hears how many more have gone."""
        if not sys.stderr.isatty():
            yield lambda _: None
            return
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # noqa: PLC0415

        columns = TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn()
        with Progress(*columns, console=self.notes, transient=True) as bar:
            task = bar.add_task(plain(text), total=total)
            yield lambda count: bar.advance(task, count)


def _flat(cell: Cell) -> Cell:
    return cell.replace("\n", " ") if isinstance(cell, str) else (cell[0].replace("\n", " "), cell[1])


def _text(cells: Sequence[Cell]) -> "Text":
    from rich.text import Text  # noqa: PLC0415

    text = Text()
    for cell in cells:
        said, style = cell if isinstance(cell, tuple) else (cell, "")
        text.append(plain(said), style or None)
    return text


def styled(word: str) -> Cell:
    return word, STYLES.get(word, "")


def _console(stderr: bool) -> "Console":
    from rich.console import Console  # noqa: PLC0415

    class Pipe(Console):
        """Rich would end the process by itself where the reader has gone."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Pipe(stderr=stderr, markup=False, emoji=False, highlight=False)
