"""Numbers and texts as a terminal shows them."""

import json
from typing import Any


def plain(text: object) -> str:
    """Without control characters, with which a name could move the cursor or change colours."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in str(text))


def number(value: float | None, digits: int = 4) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    return f"{value:.{digits}g}"


def size(count: int | None) -> str:
    """Of bytes."""
    if count is None:
        return "-"
    amount, units = float(count), ["B", "kB", "MB", "GB"]
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.3g} {units[0]}"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.3g} s"


def patched(patch: list[dict[str, Any]]) -> str:
    """A JSON Patch in a line."""
    changes = (
        f"{one['path']} = {json.dumps(one['value'])}" if "value" in one else f"no {one['path']}" for one in patch
    )
    return ", ".join(map(plain, changes))
