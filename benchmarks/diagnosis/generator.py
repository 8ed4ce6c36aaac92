"""All jobs of the zoo: for each cell some controls, for each control one or two faults, in the scored half two at once.

The draws of a control depend on its cell and number alone, so that a new cell changes no other.
"""

from collections.abc import Iterator
from copy import deepcopy
from hashlib import sha256
from random import Random
from typing import Any

from benchmarks.diagnosis.case import Case, Cell, value_at
from benchmarks.diagnosis.cells import CELLS
from benchmarks.diagnosis.changes import Changes
from benchmarks.diagnosis.injections import INJECTIONS
from benchmarks.diagnosis.recipes import a_base

BASES = 3
"""Controls of a cell."""
SECOND = 0.5
"""Share of the controls with a second faulty job."""
DOUBLE = 0.3
"""Share of the controls of the scored half with a job of two faults."""


def zoo(half: str | None = None) -> list[Case]:
    """In a fixed order; both halves, or one."""
    return [case for cell in CELLS if half in (None, cell.half) for case in cases_of(cell)]


def cases_of(cell: Cell) -> Iterator[Case]:
    for number in range(BASES):
        rng = rng_of(f"{cell.key} {number}")
        base = a_base(cell, rng)
        control = Case(f"{cell.key}-{number}", cell, base)
        yield control
        chosen = draw(cell, base, rng, 2 if rng.random() < SECOND else 1)
        yield from (injected(control, (name,), rng) for name in chosen)
        if cell.half == "scored" and rng.random() < DOUBLE and (pair := two_faults(cell, base, rng)):
            yield injected(control, pair, rng)


def rng_of(key: str) -> Random:
    return Random(sha256(key.encode()).digest())


def draw(cell: Cell, base: dict[str, Any], rng: Random, count: int) -> list[str]:
    """Different injections that apply, by their weights."""
    left = {name: one.weight for name, one in INJECTIONS.items() if one.applies(cell, base)}
    chosen: list[str] = []
    for _ in range(min(count, len(left))):
        name = rng.choices(list(left), list(left.values()))[0]
        del left[name]
        chosen.append(name)
    return chosen


def two_faults(cell: Cell, base: dict[str, Any], rng: Random) -> tuple[str, ...] | None:
    """Two that can be undone and do not touch the same thing."""
    for _ in range(10):
        pair = draw(cell, base, rng, 2)
        both = [INJECTIONS[name] for name in pair]
        places = [set(one.change(base, Random(0))) for one in both]
        apart = len(pair) == 2 and not places[0] & places[1]
        if apart and all(one.control and one.repairable for one in both):
            return tuple(pair)
    return None


def injected(control: Case, names: tuple[str, ...], rng: Random) -> Case:
    kinds = [INJECTIONS[name] for name in names]
    changes: Changes = {}
    for kind in kinds:
        changes |= kind.change(control.definition, rng)
    return Case(
        id=f"{control.id}/{'+'.join(names)}",
        cell=control.cell,
        definition=changed(control.definition, changes),
        injections=names,
        expected=frozenset(code for kind in kinds for code in kind.expected),
        pointers=tuple(changes),
        before=tuple(value_at(control.definition, pointer) for pointer in changes),
        layer=next((int(path.split("/")[3]) for path in changes if path.startswith("/network/layers/")), None),
        control=control.id if all(kind.control for kind in kinds) else None,
        repairable=all(kind.repairable for kind in kinds),
    )


def changed(definition: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """A copy with values set by their pointers."""
    copy = deepcopy(definition)
    for pointer, value in changes.items():
        *parents, last = pointer.lstrip("/").split("/")
        node: Any = copy
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node[part]
        node[last] = value
    return copy
