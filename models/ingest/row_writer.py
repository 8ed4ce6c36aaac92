"""Who takes the rows of a table, file format by file format."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import pyarrow as pa


class RowWriter(Protocol):
    """Takes the rows of a file, in their order: add(look(batch)), batch by batch."""

    rows: int
    """How many were added."""

    def look(self, batch: pa.RecordBatch) -> Any:
        """All that can be done with rows without those before them; any number of threads may do so at once."""

    def add(self, looked: Any) -> None:
        """Takes what was looked at, behind all others."""


Writer = TypeVar("Writer", bound=RowWriter)
NewWriter = Callable[[pa.Schema], Writer]
