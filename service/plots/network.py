"""`network`: the layers as built, one below the other, in the colour of what the diagnosis says of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row

from models import queries
from models.findings import findings_of
from service.plots.picture import LEFT, WIDTH, Box, Line, Picture, Shape, Text, message, picture, shortened

TITLE = "Network"
MOST_BOXES = 24
HEIGHT, GAP, Y = 34, 14, 70
ORDER = ("fault", "warning", "healthy", "unknown")
"""Of what is worse."""


@dataclass(frozen=True)
class Stage:
    """A layer, or several alike."""

    name: str
    kind: str
    output: str
    """Its shape."""
    parameters: int
    health: str
    """One of ORDER."""
    codes: tuple[str, ...] = ()
    """Of findings that name it."""
    last: str | None = None
    """The name of the last one, of several."""
    count: int = 1


def of(connection: Connection, job: Row[Any]) -> Picture:
    name, layers = job.name or job.id, queries.layer_rows(connection, job.id)
    if not layers:
        return message(TITLE, name, f"The network has not been built yet: the job is {job.status}.")
    return draw(name, stages_of(layers, findings_of(connection, job.id), job.verdict), job.verdict)


def stages_of(layers: Sequence[Row[Any]], findings: Sequence[dict[str, Any]], verdict: str) -> list[Stage]:
    """Neighbours that are alike become one, and what is too much for a picture its middle."""
    of_all = "unknown" if verdict == "unknown" else "healthy"
    single = [_stage(layer, findings, of_all) for layer in layers]
    alike = [_joined(list(run)) for _, run in groupby(single, _likeness)]
    if len(alike) <= MOST_BOXES:
        return alike
    head, tail = MOST_BOXES // 2, MOST_BOXES // 2 - 1
    return [*alike[:head], _joined(alike[head:-tail]), *alike[-tail:]]


def _stage(layer: Row[Any], findings: Sequence[dict[str, Any]], of_all: str) -> Stage:
    named = [finding for finding in findings if layer.index in finding["layers"]]
    health = min([finding["severity"] for finding in named] or [of_all], key=ORDER.index)
    shape = " x ".join(map(str, layer.output_shape))
    codes = tuple(finding["code"] for finding in named)
    return Stage(layer.name, layer.kind, shape, layer.parameters, health, codes)


def _likeness(stage: Stage) -> tuple[Any, ...]:
    return stage.kind, stage.output, stage.parameters, stage.health, stage.codes


def _joined(stages: list[Stage]) -> Stage:
    """Several as one, which is as ill as the worst of them."""
    first, last = stages[0], stages[-1]
    if len(stages) == 1:
        return first
    codes = tuple(dict.fromkeys(code for stage in stages for code in stage.codes))
    kinds = {stage.kind for stage in stages}
    kind = first.kind if len(kinds) == 1 else "several kinds"
    health = min((stage.health for stage in stages), key=ORDER.index)
    parameters, count = sum(s.parameters for s in stages), sum(s.count for s in stages)
    return Stage(first.name, kind, last.output, parameters, health, codes, last.last or last.name, count)


def draw(name: str, stages: Sequence[Stage], verdict: str) -> Picture:
    shapes: list[Shape] = []
    for place, stage in enumerate(stages):
        y = Y + place * (HEIGHT + GAP)
        if place:
            shapes.append(Line("link", ((LEFT + 20, y - GAP), (LEFT + 20, y))))
        shapes += _box(stage, y)
    return picture(TITLE, name, said(stages, verdict), shapes, Y + len(stages) * (HEIGHT + GAP) + 10)


def _box(stage: Stage, y: float) -> list[Shape]:
    text = stage.name if stage.last is None else f"{stage.name} … {stage.last}  ({stage.count} layers)"
    base = y + HEIGHT / 2 + 5
    return [
        Box("card", LEFT, y, WIDTH - 2 * LEFT, HEIGHT),
        Box(stage.health, LEFT, y, 8, HEIGHT),
        Text("name", LEFT + 22, base, shortened(text, 42)),
        Text("label", LEFT + 320, base, shortened(stage.kind, 16)),
        Text("label", LEFT + 430, base, shortened(stage.output, 16)),
        Text("label", LEFT + 620, base, f"{stage.parameters:,}", "end"),
        Text("alarm", WIDTH - LEFT - 10, base, shortened(", ".join(stage.codes), 18), "end"),
    ]


def said(stages: Sequence[Stage], verdict: str) -> str:
    """In words."""
    parameters, count = sum(stage.parameters for stage in stages), sum(stage.count for stage in stages)
    noun = "layer" if count == 1 else "layers"
    text = f"{count} {noun}, {parameters:,} parameters, verdict {verdict}. Name, kind, output shape, parameters."
    ill = [f"{stage.name}: {', '.join(stage.codes)}" for stage in stages if stage.codes]
    return text if not ill else f"{text} {'; '.join(ill)}."
