"""One job of the zoo, and what is known about it before it is run."""

from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

HALVES = ("development", "scored")
SALT = 19933
"""Of the hash that decides the halves: the one of 20 000 that shares data sets, families and depths most evenly."""


@dataclass(frozen=True)
class Cell:
    """What decides the half: jobs of one cell are never in both."""

    dataset: str
    family: str
    depth: str
    """A range of depths, or of lengths for recurrent networks."""

    @property
    def key(self) -> str:
        return f"{self.dataset}-{self.family}-{self.depth}"

    @property
    def half(self) -> str:
        """By its key alone."""
        return HALVES[sha256(f"{SALT} {self.key}".encode()).digest()[0] % 2]


@dataclass(frozen=True)
class Case:
    """A job and, for one that is injected, the fault and what a diagnosis should call it."""

    id: str
    cell: Cell
    definition: dict[str, Any]
    injections: tuple[str, ...] = ()
    """Names in `benchmarks.diagnosis.injections.INJECTIONS`; none for a control, two for a double fault."""
    expected: frozenset[str] = frozenset()
    """Codes that are right as first cause."""
    pointers: tuple[str, ...] = ()
    """What was changed of the control: JSON Pointers."""
    before: tuple[Any, ...] = ()
    """Its values there; None where there was none."""
    layer: int | None = None
    """Where the fault is, if it is in one layer."""
    control: str | None = None
    """Id of the same job without the fault; None: its own best epoch."""
    repairable: bool = True
    """Whether a change of the definition can undo it."""

    @property
    def half(self) -> str:
        return self.cell.half

    @property
    def injection(self) -> str:
        return "+".join(self.injections) or "none"

    def seeded(self, seed: int) -> dict[str, Any]:
        """The definition with another training seed; the data stay the same."""
        return with_seed(self.definition, seed)


def value_at(definition: Any, pointer: str) -> Any:
    """By JSON Pointer; None where there is nothing."""
    for part in pointer.lstrip("/").split("/"):
        definition = definition[int(part)] if isinstance(definition, list) else definition.get(part)
        if definition is None:
            return None
    return definition


def with_seed(definition: dict[str, Any], seed: int) -> dict[str, Any]:
    plain = deepcopy(definition)
    plain["training"] = plain.get("training", {}) | {"seed": seed}
    return plain
