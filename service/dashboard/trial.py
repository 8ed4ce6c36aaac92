"""A row to try a model with: what its form begins with."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row

MOST_FIELDS = 40
MOST_VALUES = 2_000


def trial_of(definition: Mapping[str, Any], layers: Sequence[Row[Any]]) -> dict[str, Any] | None:
    """`fields`, names and kinds, of a table with few columns; else `inputs`, a row of zeros to be written over. None
    where a row has more values than anybody types."""
    columns = ((definition["data"].get("uploaded") or {}).get("columns") or {}).get("columns")
    features = definition["data"].get("features")
    if columns and isinstance(features, list) and len(features) <= MOST_FIELDS:
        kinds = {column["name"]: column["kind"] for column in columns}
        return {"fields": [(name, "number" if kinds.get(name) == "number" else "text") for name in features]}
    shape = layers[0].input_shape if layers else []
    if not shape or math.prod(shape) > MOST_VALUES:
        return None
    if len(shape) == 1 and shape[0] <= MOST_FIELDS and not columns:
        return {"fields": [(f"feature {index + 1}", "number") for index in range(shape[0])], "as_list": True}
    return {"inputs": _zeros(shape)}


def _zeros(shape: Sequence[int]) -> Any:
    return 0 if not shape else [_zeros(shape[1:]) for _ in range(shape[0])]
