"""The README says what was measured last: `make bench` writes docs/benchmarks.json, people write the README."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
MEASURED = json.loads((ROOT / "docs" / "benchmarks.json").read_text())
SHOWN = {"Descent": "ours", "Lightning, default": "Lightning, default", "Keras 3 on torch": "Keras 3 on torch",
         "scikit-learn": "scikit-learn"}  # fmt: skip
"""Its rows, and the columns that they are of."""


def rows(section: str) -> list[dict[str, Any]]:
    table = MEASURED[section]["tables"][0]
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def test_the_epochs_are_those_of_the_last_measurement() -> None:
    for name, column in SHOWN.items():
        shares = [row[column] for row in rows("engine")]
        cells = [f"{share:.2f}" if share != "" else "" for share in shares]
        assert f"| {name} | {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |") in TEXT


def test_waits_and_rates_of_jobs_are_those_of_the_last_measurement() -> None:
    found = {(row["figure"], row["service"]): row["median"] for row in rows("jobs")}
    embedded, production = (found["POST to first step, ms", service] for service in ("embedded", "production"))
    assert f"{embedded:.0f} ms after its POST ({production:.0f} ms on PostgreSQL and Redis)" in TEXT
    rates = sorted(found["small jobs a second and slot", service] for service in ("embedded", "production"))
    assert f"runs {rates[0]:.0f} to {rates[1]:.0f} small jobs a second" in TEXT
