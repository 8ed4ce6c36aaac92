"""Ways to choose what to try next on a sick job: the diagnosis' own remedy, and two baselines that do not look."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from benchmarks.diagnosis.runs import read
from models.diagnosis.finding import Code, Diagnosis, Severity
from models.errors import InvalidDefinition
from models.patches import patched

Plain = dict[str, Any]
Patch = Sequence[Plain]
MOST_BYTES = 2**20


@dataclass(frozen=True)
class Choice:
    """A patch, by the name of its remedy."""

    name: str
    patch: Patch
    more_budget: bool = False
    """Whether it may train for longer."""


Chooser = Callable[[str, int, Plain, Diagnosis], Choice | None]
"""Given the case's id, the number of jobs tried, the last job's definition and diagnosis."""


def own(case: str, tried: int, definition: Plain, diagnosis: Diagnosis) -> Choice | None:
    """The first remedy of the first finding that has one; faults before warnings."""
    for severity in (Severity.FAULT, Severity.WARNING):
        for finding in diagnosis.findings:
            if finding.severity == severity and finding.remedies:
                remedy = finding.remedies[0]
                return Choice(remedy.id, remedy.patch, finding.code == Code.SLOW)
    return None


def rate_over_ten(case: str, tried: int, definition: Plain, diagnosis: Diagnosis) -> Choice:
    rate = definition["training"]["optimizer"]["learning_rate"]
    return Choice("rate / 10", [_replaced("/training/optimizer/learning_rate", rate / 10)])


def at_random(case: str, tried: int, definition: Plain, diagnosis: Diagnosis) -> Choice | None:
    """One of eight popular remedies, among those that this network can take."""
    rate = definition["training"]["optimizer"]["learning_rate"]
    known = {
        "rate / 10": [_replaced("/training/optimizer/learning_rate", rate / 10)],
        "rate x 10": [_replaced("/training/optimizer/learning_rate", rate * 10)],
        "Adam": [_replaced("/training/optimizer", {"kind": "adam", "learning_rate": 0.001})],
        "He": [_replaced("/network/init", "he")],
        "batch norm": [_replaced("/network/norm", "batch")],
        "ReLU": [_replaced("/network/activation", "relu")],
        "clip": [_replaced("/training/clip", {"norm": 1.0})],
        "standardise": [_replaced("/data/normalise", "standard")],
    }
    names = Random(f"{case} {tried}").sample(list(known), len(known))
    return next((Choice(name, known[name]) for name in names if admitted(definition, known[name])), None)


REPAIRERS: dict[str, Chooser] = {"Descent": own, "always rate / 10": rate_over_ten, "a random remedy": at_random}


def admitted(definition: Plain, patch: Patch) -> Plain | None:
    """The definition with the patch, every default filled in; None where it does not apply."""
    try:
        changed: Plain = json.loads(patched(definition, list(patch), MOST_BYTES))
        return read(changed).plain()
    except InvalidDefinition:
        return None


def _replaced(path: str, value: Any) -> Plain:
    return {"op": "replace", "path": path, "value": value}
