"""The same picture as PNG, painted by Pillow at twice its size, in the light colours."""

import io
from functools import cache
from itertools import pairwise
from typing import Any

from service.plots.looks import COLOURS, FILLS, FONTS, STROKES, Stroke
from service.plots.picture import Box, Cells, Dot, Line, Picture, Point, Text

ZOOM = 2
"""Pixels for each unit of the picture."""
FINER = 3
"""Slanted lines are drawn so many times larger, and then made smaller, for smooth edges."""
SANS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf")
"""What has more letters than the font that Pillow brings, where a machine has it."""


def png(picture: Picture) -> bytes:
    # Imported with the first picture: Pillow takes 12 MB, which an API that draws nothing need not have.
    from PIL import Image  # noqa: PLC0415

    image = Image.new("RGB", (round(picture.width * ZOOM), round(picture.height * ZOOM)), FILLS["paper"].light)
    for shape in picture.shapes:
        _paint(image, shape)
    text = io.BytesIO()
    image.save(text, "PNG", optimize=True)
    return text.getvalue()


def _paint(image: Any, shape: Any) -> None:
    match shape:
        case Line(look, points):
            _paint_line(image, STROKES[look], points)
        case Box(look, x, y, width, height):
            image.paste(FILLS[look].light, _pixels(x, y, x + width, y + height))
        case Dot(look, x, y, radius):
            _paint_dot(image, FILLS[look].light, x, y, radius)
        case Text():
            _paint_text(image, shape)
        case Cells():
            _paint_cells(image, shape)


def _pixels(*places: float) -> tuple[int, ...]:
    return tuple(round(place * ZOOM) for place in places)


def _paint_line(image: Any, stroke: Stroke, points: tuple[Point, ...]) -> None:
    def draw(pen: Any, at: Any) -> None:
        for piece in dashed(points, stroke.dash):
            pen.line([at(*point) for point in piece], 255, max(1, round(stroke.width * ZOOM * FINER)), "curve")

    xs, ys = [x for x, _ in points], [y for _, y in points]
    _paint_mask(image, stroke.light, (min(xs), min(ys), max(xs), max(ys)), stroke.width, draw)


def _paint_dot(image: Any, colour: str, x: float, y: float, radius: float) -> None:
    def draw(pen: Any, at: Any) -> None:
        pen.ellipse([at(x - radius, y - radius), at(x + radius, y + radius)], 255)

    _paint_mask(image, colour, (x - radius, y - radius, x + radius, y + radius), 1, draw)


def _paint_mask(image: Any, colour: str, around: tuple[float, float, float, float], margin: float, draw: Any) -> None:
    """Paints what `draw` draws with a pen; `at` gives it the place of a point. Only as much as the shape takes is drawn
    larger."""
    from PIL import Image, ImageDraw  # noqa: PLC0415

    left, top, right, bottom = _pixels(around[0] - margin, around[1] - margin, around[2] + margin, around[3] + margin)
    width, height = right - left + 1, bottom - top + 1
    mask = Image.new("L", (width * FINER, height * FINER))

    def at(x: float, y: float) -> Point:
        return (x * ZOOM - left) * FINER, (y * ZOOM - top) * FINER

    draw(ImageDraw.Draw(mask), at)
    image.paste(colour, (left, top), mask.reduce(FINER))


def dashed(points: tuple[Point, ...], dash: tuple[float, ...]) -> list[list[Point]]:
    """The pieces of a polyline that are drawn: all of it where there is no dash, else by turns `dash[0]` drawn and
    `dash[1]` not."""
    if not dash:
        return [list(points)]
    pieces: list[list[Point]] = [[points[0]]]
    is_drawn, left = True, dash[0]
    for (x0, y0), (x1, y1) in pairwise(points):
        length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        gone = 0.0
        while length - gone > left:
            gone += left
            place = (x0 + (x1 - x0) * gone / length, y0 + (y1 - y0) * gone / length)
            if is_drawn:
                pieces[-1].append(place)
            else:
                pieces.append([place])
            is_drawn = not is_drawn
            left = dash[0] if is_drawn else dash[1]
        left -= length - gone
        if is_drawn:
            pieces[-1].append((x1, y1))
    return [piece for piece in pieces if len(piece) > 1]


def _paint_text(image: Any, shape: Text) -> None:
    from PIL import ImageDraw  # noqa: PLC0415

    font = FONTS[shape.look]
    anchor = {"start": "ls", "middle": "ms", "end": "rs"}[shape.anchor]
    # The fonts have no bold one beside them: it is drawn a little wider.
    width = 0.4 if font.is_bold else 0
    place = (shape.x * ZOOM, shape.y * ZOOM)
    pen = ImageDraw.Draw(image)
    pen.text(place, shape.text, font.light, _font(font.size), anchor, stroke_width=width)


@cache
def _font(size: float) -> Any:
    from PIL import ImageFont  # noqa: PLC0415

    for name in SANS:
        try:
            return ImageFont.truetype(name, size * ZOOM)
        except OSError:
            continue
    return ImageFont.load_default(size * ZOOM)


def _paint_cells(image: Any, cells: Cells) -> None:
    from PIL import Image  # noqa: PLC0415

    rows, columns = len(cells.levels), len(cells.levels[0])
    small = Image.new("P", (columns, rows))
    small.putpalette(bytes.fromhex("".join(COLOURS).replace("#", "")))
    small.putdata([level for row in cells.levels for level in row])
    left, top, right, bottom = _pixels(cells.x, cells.y, cells.x + cells.width, cells.y + cells.height)
    image.paste(small.resize((right - left, bottom - top)).convert("RGB"), (left, top))
