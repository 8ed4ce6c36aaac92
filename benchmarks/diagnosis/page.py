"""Writes docs/diagnosis.json, and its tables into docs/diagnosis.md between two markers; prose stays."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.diagnosis.score import Row, codes, cost, injections, repairs, systems
from benchmarks.report import Table, installed
from models.diagnosis.finding import RULES_VERSION

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- zoo -->", "<!-- /zoo -->"


def tables(rows: Sequence[Row]) -> list[Table]:
    return [systems(rows), repairs(rows), injections(rows), codes(rows)]


def markdown(rows: Sequence[Row]) -> str:
    """The tables of each half, the scored one first."""
    date = datetime.now(UTC).date().isoformat()
    versions = f"rules {RULES_VERSION}, descent {installed('descent')}, torch {installed('torch')}"
    parts = [f"*`make zoo`, {date}: {versions}. {cost(rows)}*\n"]
    for half in ("scored", "development"):
        chosen = [row for row in rows if row.judged.case.half == half]
        if chosen:
            counted = {label: sum(row.label == label for row in chosen) for label in dict.fromkeys(map(_label, chosen))}
            shown = ", ".join(f"{count} {label}" for label, count in counted.items())
            parts += [f"# The {half} half: {shown}\n", *(table.markdown() for table in tables(chosen))]
    return "\n".join(parts).replace("\n#", "\n##")


def _label(row: Row) -> str:
    return row.label.value


def write(rows: Sequence[Row], docs: Path = DOCS) -> None:
    (docs / "diagnosis.json").write_text(json.dumps([row.plain() for row in rows], indent=1) + "\n")
    page = docs / "diagnosis.md"
    text = page.read_text() if page.exists() else f"# Diagnosis\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{markdown(rows)}\n{END}{after}")
