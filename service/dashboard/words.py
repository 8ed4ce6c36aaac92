"""Numbers, times and names as people read them: the filters of the templates."""

import json
import math
from typing import Any, TypeGuard

from pydantic_core import to_json

KILO = 1000.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


NONE = "–"


def is_number(value: Any) -> TypeGuard[float]:
    """Templates also hand over what is not there."""
    return isinstance(value, int | float) and math.isfinite(value)


def number(value: float | None, digits: int = 3) -> str:
    """With so many significant digits."""
    if not is_number(value):
        return NONE
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        short = f"{value:.{digits}g}"
        return f"{value:,.0f}" if "e" in short else short
    return f"{value:.{digits - 1}e}"


def share(value: float | None) -> str:
    """As percent."""
    return NONE if not is_number(value) else f"{100 * value:.3g} %"


def count(value: int | None) -> str:
    return NONE if not is_number(value) else f"{value:,}"


def size(value: float | None) -> str:
    """Bytes."""
    if not is_number(value):
        return NONE
    for unit in ("B", "kB", "MB", "GB"):
        if value < KILO:
            return f"{value:.3g} {unit}"
        value /= KILO
    return f"{value:.3g} TB"


def duration(seconds: float | None) -> str:
    if not is_number(seconds):
        return NONE
    if seconds < MINUTE:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < HOUR:
        return f"{seconds // MINUTE:.0f} min {seconds % MINUTE:.0f} s"
    if seconds < DAY:
        return f"{seconds // HOUR:.0f} h {seconds % HOUR // MINUTE:.0f} min"
    return f"{seconds // DAY:.0f} d {seconds % DAY // HOUR:.0f} h"


def spoken(code: str | None) -> str:
    """A code in words: `vanishing_depth`, vanishing depth."""
    return (code or "").replace("_", " ")


def shape(sizes: list[int] | None) -> str:
    return " × ".join(map(str, sizes)) if sizes else NONE


def indented(value: Any) -> str:
    """JSON for people; not the encoder of answers, which writes it in one line."""
    return json.dumps(json.loads(to_json(value, inf_nan_mode="null")), indent=2, ensure_ascii=False)


FILTERS = {
    word.__name__: word for word in (number, share, count, size, duration, spoken, shape, indented)
}  # fmt: skip
