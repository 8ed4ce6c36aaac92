"""The textbook: a JSON file for each claim, with the jobs that show it, the checks that they have to pass, and what
their diagnoses have to say and their repairs to come to."""

import json
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


@cache
def chapters() -> dict[str, dict[str, Any]]:
    """By name, in the order in which they are told."""
    found = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
    order = sorted(found, key=lambda name: (found[name]["place"], name))
    return {name: {"name": name, "diagnoses": {}, "repairs": {}, **found[name]} for name in order}
