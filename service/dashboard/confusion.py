"""The confusion of a classification as a table with shades: a policy without inline styles allows classes only."""

from collections.abc import Mapping
from typing import Any

MOST_CLASSES = 30
SHADES = 9


def confusion_of(evaluation: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """`names`, and of each true class its `rows` as (count, shade); None where there is nothing to show."""
    counts = evaluation and evaluation["result"].get("confusion")
    if not counts or len(counts) > MOST_CLASSES:
        return None
    names = [said["class"] for said in evaluation["result"]["classes"]]  # type: ignore[index]
    return {"names": names, "rows": [_shaded(row) for row in counts]}


def _shaded(row: list[int]) -> list[tuple[int, int]]:
    """By the share of the true class."""
    total = max(sum(row), 1)
    return [(count, round(SHADES * count / total)) for count in row]
