"""What is known of an uploaded data set: stored with it, and, as a job uses it, with the job."""

from typing import Annotated, Literal

from pydantic import Field

from models.columns import Columns
from models.definitions.base import Several, Strict

Kind = Literal["table", "image", "signal", "sequence", "tokens"]
Task = Literal["classification", "regression"]
Extent = Annotated[int, Field(ge=1, le=2**31)]
Steps = Annotated[int, Field(ge=1, le=10_000)]


class StoredArray(Strict):
    """An array in storage, in NumPy's format."""

    key: str
    """In the storage."""
    size: int
    """Bytes."""
    sha256: str
    """Of the file, checked when it is read."""


class Window(Strict):
    """How series are cut into sequences: `length` rows in, and the target `horizon` rows after the last of them."""

    length: Steps
    """Rows of a sequence."""
    horizon: Steps = 1
    """How far ahead the target lies."""
    stride: Steps = 1
    """Rows from the start of one sequence to that of the next."""


class Uploaded(Strict):
    """The arrays of an uploaded data set, and how rows are made of them.

    A table (`columns`) has the arrays `table`, float32 [rows, columns], and `times`, float64 [rows], where it has a
    column of times. With a `window` its rows are in the order of their series, and `starts` are where sequences begin.
    All others have `x` and `y`.
    """

    kind: Kind
    """What a row is."""
    rows: Annotated[int, Field(ge=1)]
    """As a network sees them: of series the number of sequences."""
    task: Task | None = None
    """None: of a table without a target."""
    input_shape: Several[int] = ()
    """Of a row, as a network sees it."""
    outputs: int = 0
    """Classes, or numbers to predict."""
    classes: Several[str] = ()
    """Their names, in the order of the network's outputs."""
    per_step: bool = False
    """Whether each time step has a target of its own."""
    vocabulary: int = 0
    """Number of different tokens; 0 where the rows are not tokens."""
    columns: Columns | None = None
    """Of a table."""
    window: Window | None = None
    """Of series."""
    arrays: dict[str, StoredArray] = {}
    """By name."""
