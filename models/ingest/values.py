"""Values of Arrow's columns as numbers, words and seconds."""

from typing import Any

import numpy as np
import pyarrow as pa

from models.columns import Kind, word_of
from models.ingest.numbers import Doubles
from models.ingest.refusal import refused


def kind_of(kind: pa.DataType) -> Kind:
    """What a column of this type is taken for."""
    types = pa.types
    if types.is_boolean(kind):
        return "boolean"
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "number"
    if types.is_timestamp(kind) or types.is_date(kind):
        return "time"
    words = kind.value_type if types.is_dictionary(kind) else kind
    return "category" if types.is_string(words) or types.is_large_string(words) else "text"


def as_doubles(values: pa.Array) -> Doubles:
    """Numbers or booleans; NaN where they are missing."""
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    if not pa.types.is_floating(values.type):
        values = values.cast(pa.float64(), safe=False)
    doubles: Doubles = values.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    return doubles


def as_words(values: pa.Array) -> pa.Array:
    """How values are written as categories."""
    if pa.types.is_floating(values.type):
        return pa.array([word_of(value) for value in values.to_pylist()], pa.string())
    return values if pa.types.is_string(values.type) else values.cast(pa.string())


def as_seconds(values: pa.Array, name: str) -> Doubles:
    """Times as seconds since 1970; numbers as they are."""
    if values.null_count:
        detail = f"The column {name!r} orders the rows, and some have no value in it."
        raise refused("missing_time", detail, "Leave out those rows.", "/time")
    if pa.types.is_date(values.type):
        values = values.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(values.type):
        return as_doubles(values.cast(pa.timestamp("us"), safe=False).cast(pa.int64())) / 1e6
    if kind_of(values.type) != "number":
        detail = f"The column {name!r} holds {values.type}, and neither times nor numbers."
        raise refused("wrong_time", detail, "Write times as 2026-01-31T12:00:00, or as numbers.", "/time")
    return as_doubles(values)


def shown(values: pa.Array) -> list[Any]:
    """Values of a preview, for JSON."""
    try:
        return list(map(plain, values.to_pylist()))
    except (ValueError, OverflowError):
        # Times that Python's own cannot be: with nanoseconds, or beyond the year 9999.
        return list(map(plain, values.cast(pa.string()).to_pylist()))


def plain(value: Any) -> Any:
    """A value of a preview, for JSON."""
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float) else str(value)[:200].replace("\0", "\ufffd")
