"""A picture as SVG: text stays text, one style sheet for light and dark, nothing that runs."""

import re
from collections.abc import Iterator
from itertools import groupby
from xml.sax.saxutils import escape

from service.plots.looks import STYLE
from service.plots.picture import Box, Cells, Dot, Line, Picture, Shape, Text

UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write."""


def svg(picture: Picture) -> bytes:
    width, height = number(picture.width), number(picture.height)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
            ' role="img" aria-labelledby="title description">',
            f'<title id="title">{written(picture.title)}</title>',
            f'<desc id="description">{written(picture.description)}</desc>',
            f"<style>{STYLE}</style>",
            f'<rect class="fill-paper" width="{width}" height="{height}"/>',
            *map(_drawn, picture.shapes),
            "</svg>\n",
        ]
    ).encode()


def number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def written(text: str) -> str:
    """As character data; what cannot be written is the replacement character."""
    return escape(UNWRITABLE.sub("\ufffd", text))


def _drawn(shape: Shape) -> str:
    match shape:
        case Line(look, points):
            places = " ".join(f"{number(x)},{number(y)}" for x, y in points)
            return f'<polyline class="line-{look}" points="{places}"/>'
        case Box(look, x, y, width, height):
            size = f'width="{number(width)}" height="{number(height)}"'
            return f'<rect class="fill-{look}" x="{number(x)}" y="{number(y)}" {size}/>'
        case Dot(look, x, y, radius):
            return f'<circle class="fill-{look}" cx="{number(x)}" cy="{number(y)}" r="{number(radius)}"/>'
        case Text(look, x, y, text, anchor):
            place = f'x="{number(x)}" y="{number(y)}" text-anchor="{anchor}"'
            return f'<text class="text-{look}" {place}>{written(text)}</text>'
        case Cells():
            return "\n".join(_cells(shape))


def _cells(cells: Cells) -> Iterator[str]:
    """A path for each level, of a horizontal stroke for each run of cells: a tenth of what a rectangle each would take.
    They are drawn in a grid of cells, which the transformation stretches."""
    rows, columns = len(cells.levels), len(cells.levels[0])
    scale = f"{cells.width / columns:.5f} {cells.height / rows:.5f}"
    strokes: dict[int, list[str]] = {}
    for row, levels in enumerate(cells.levels):
        at = 0
        for level, run in groupby(levels):
            length = len(list(run))
            strokes.setdefault(level, []).append(f"M{at} {row}.5h{length}")
            at += length
    yield f'<g transform="translate({number(cells.x)} {number(cells.y)}) scale({scale})" shape-rendering="crispEdges">'
    for level, paths in sorted(strokes.items()):
        yield f'<path class="level-{level}" d="{"".join(paths)}"/>'
    yield "</g>"
