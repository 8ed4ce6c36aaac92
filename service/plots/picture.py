"""A picture as a list of shapes: what `service/plots/svg.py` writes and `service/plots/png.py` paints."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

WIDTH = 800
LEFT, TOP = 24, 30
"""Of the title."""
LONGEST_TITLE, LONGEST_LINE = 78, 115
"""Letters that fit into the width."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A polyline."""

    look: str
    """One of `service.plots.looks.STROKES`."""
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Box:
    look: str
    """One of `service.plots.looks.FILLS`."""
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Dot:
    look: str
    """One of `service.plots.looks.FILLS`."""
    x: float
    y: float
    radius: float = 4


@dataclass(frozen=True)
class Text:
    look: str
    """One of `service.plots.looks.FONTS`."""
    x: float
    y: float
    """Of the line it stands on."""
    text: str
    anchor: Literal["start", "middle", "end"] = "start"


@dataclass(frozen=True)
class Cells:
    """A rectangle of equal cells, each in the colour of its level."""

    x: float
    y: float
    width: float
    height: float
    levels: tuple[tuple[int, ...], ...]
    """[rows][columns]: places in `service.plots.looks.COLOURS`."""


Shape = Line | Box | Dot | Text | Cells


@dataclass(frozen=True)
class Picture:
    title: str
    description: str
    """What it shows, for those who do not see it."""
    height: float
    shapes: tuple[Shape, ...]
    width: float = WIDTH


def picture(title: str, job_name: str, said: str, shapes: Sequence[Shape], height: float = 450) -> Picture:
    """With its title, and below it what it is of and what is to be said of it."""
    heads = (
        Text("title", LEFT, TOP, shortened(f"{title}: {job_name}", LONGEST_TITLE)),
        Text("label", LEFT, TOP + 20, shortened(said, LONGEST_LINE)),
    )
    return Picture(f"{title}: {job_name}", said, height, (*heads, *shapes))


def message(title: str, job_name: str, said: str) -> Picture:
    """There is nothing to be drawn, and this is why."""
    return picture(title, job_name, "", [Text("message", WIDTH / 2, 110, said, "middle")], height=180)


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
