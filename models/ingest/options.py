"""What a client may say of a file that it uploads; all of it is optional."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from models.columns import Kind
from models.definitions.base import Several, Strict
from models.definitions.data import ColumnName, Names
from models.definitions.uploaded import Extent, Steps, Task, Window

Format = Literal["csv", "parquet", "npz", "images"]


class Options(Strict):
    """How a file is read, and what its columns are for."""

    format: Literal["auto"] | Format = "auto"
    """`auto` goes by the content: a zip with `.npy` files is an `npz`, another one `images`."""
    target: ColumnName | None = None
    """The column to predict; default: one called target, label, class or y, else the last."""
    features: Names | None = None
    """The columns a network is given; default: all numbers, booleans and categories but the target."""
    task: Task | None = None
    """Default: `classification` of categories, booleans and few whole numbers, else `regression`."""
    kinds: dict[ColumnName, Kind] = {}
    """Of columns whose kind is guessed wrong, e.g. `{"zip_code": "category"}`."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1, pattern=r"^[\t -!#-~]$")] | None = None
    """Of a CSV: a tab, or one of ASCII but the quote; default: the one of `,` `;` tab and `|` that fits."""
    encoding: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9_.:-]+$")] = "utf-8"
    """Of a CSV, by the name that Python has for it."""
    header: bool | None = None
    """Whether the first line of a CSV has the names of the columns; default: unless it is all numbers."""
    group: ColumnName | None = None
    """Rows with the same value belong together: one series, one patient."""
    time: ColumnName | None = None
    """The column that orders the rows (of each group)."""
    text: ColumnName | None = None
    """Of a table: the column of texts, whose words become tokens; all other columns but the target are left out."""
    length: Steps | None = None
    """Cuts each group, in the order of `time`, into sequences of so many rows. With `text`: words of a text, the first
    ones; default: those of the longest, but at most 256."""
    horizon: Steps = 1
    """How many rows after the last of a sequence its target lies."""
    stride: Steps = 1
    """Rows from the start of one sequence to that of the next."""
    layout: Literal["channels_length"] | None = None
    """Of an NPZ whose `x` is [rows, channels, length]: signals, and not sequences [rows, time, features]."""
    vocabulary: Annotated[int, Field(ge=1, le=2**31)] | None = None
    """Of an NPZ of tokens: how many different ones there may be; default: by the data."""
    image_size: Annotated[Several[Extent], Field(min_length=2, max_length=2)] | None = None
    """[height, width] that images are scaled to; default: that of all of them."""

    @property
    def window(self) -> Window | None:
        if self.length is None or self.text is not None:
            return None
        return Window(length=self.length, horizon=self.horizon, stride=self.stride)

    @model_validator(mode="after")
    def _texts_stand_alone(self) -> "Options":
        others = {"features", "kinds", "group", "time", "horizon", "stride"}
        if self.text is not None and any(
            getattr(self, name) != type(self).model_fields[name].default for name in others
        ):
            raise PydanticCustomError("text_alone", "With `text` there are no " + ", ".join(sorted(others)))
        return self

    @model_validator(mode="after")
    def _windows_have_a_length(self) -> "Options":
        if self.length is None and (self.horizon, self.stride) != (1, 1):
            raise PydanticCustomError("missing_length", "`horizon` and `stride` need a `length`")
        return self
