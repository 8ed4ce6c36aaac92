"""`python -m benchmarks [--quick] [--only NAME ...]`: all benchmarks in order, or some.

A full run writes each section into docs/benchmarks.json as it ends, and docs/benchmarks.md from that: sections that did
not run stay as they were. A quick run writes nothing.
"""

import argparse
import json
import time
import warnings
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.report import Table, installed, machine

SECTIONS = (
    *("engine", "statistics", "scaling", "mapped", "ingest", "larger_than_memory"),
    *("jobs", "memory", "api", "waiting", "predictions", "storage", "queue", "dashboard", "gpu"),
)
DOCS = Path(__file__).parents[1] / "docs"
HEADER = """# Benchmarks

`make bench` repeats all of it, `python -m benchmarks --only NAME` one section, and `make bench-quick` shows every table
in under three minutes with few samples. Contenders take turns in one run, so that a noisy machine disturbs all alike:
ratios hold elsewhere, seconds do not. Peers live in an environment of their own, `.venv-peers`.

'Bare' is the loop that a good engineer writes by hand: the same network in plain torch modules, data as tensors,
`index_select` of a permutation, the default `torch.optim.Adam`, no validation, no logging. A goal is what we want to
reach, not what we have; it is an upper bound unless it says otherwise. `docs/benchmarks.json` has the same numbers.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="python -m benchmarks")
    parser.add_argument("--quick", action="store_true", help="few samples, and nothing is written")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, metavar="NAME")
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")  # says the embedded PostgreSQL
    started = time.monotonic()
    for name in chosen.only:
        begun = time.monotonic()
        section = section_of(import_module(f"benchmarks.{name}"), chosen.quick)
        print(shown(name, section))
        print(f"{name}: {time.monotonic() - begun:.0f} s\n", flush=True)
        if not chosen.quick:
            keep(name, section)
    print(f"{time.monotonic() - started:.0f} s in all")


def section_of(module: ModuleType, quick: bool) -> dict[str, Any]:
    """Runs it: its tables, when they were made, and of which versions."""
    packages = getattr(module, "PACKAGES", ())
    tables: list[Table] = module.run(quick)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine("descent", *packages),
        "versions": {package: installed(package) for package in ("descent", *packages)},
        "tables": [table.plain() for table in tables],
    }


def shown(name: str, section: dict[str, Any]) -> str:
    tables = (
        Table(table["title"], tuple(table["columns"]), table["rows"], table["note"]) for table in section["tables"]
    )
    head = f"*`{name}`, {section['date']}: {section['machine']}.*\n"
    return "\n".join([head, *(table.markdown() for table in tables)])


def keep(name: str, section: dict[str, Any]) -> None:
    """Puts a section in the place of its last one, and writes the page anew."""
    file = DOCS / "benchmarks.json"
    sections = (json.loads(file.read_text()) if file.exists() else {}) | {name: section}
    ordered = {each: sections[each] for each in SECTIONS if each in sections}
    file.write_text(json.dumps(ordered, indent=1) + "\n")
    page = "\n".join([HEADER, *(shown(*item) for item in ordered.items())])
    (DOCS / "benchmarks.md").write_text(page)


if __name__ == "__main__":
    main()
