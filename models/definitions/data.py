"""Which data to train on, and how they are split and scaled."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from models.columns import Columns, Kind
from models.definitions.base import Several, Strict
from models.definitions.uploaded import Task, Uploaded

ColumnName = Annotated[str, Field(min_length=1, max_length=200)]


class ValidationSet(Strict):
    """Another uploaded data set, all of which is for validation."""

    dataset: Annotated[str, Field(min_length=1, max_length=200)]
    """Its id; it has the columns, or the shapes, of the one that is trained on."""
    uploaded: Uploaded | None = None
    """Filled in by the service; what is sent here is replaced."""


def _validation_tag(value: Any) -> str:
    return "~set" if isinstance(value, dict | ValidationSet) else "~share"


def _features_tag(value: Any) -> str:
    return "~which" if isinstance(value, str) else "~names"


Share = Annotated[float, Field(gt=0, le=0.9)]
Validation = Annotated[
    Annotated[Share, Tag("~share")] | Annotated[ValidationSet, Tag("~set")], Discriminator(_validation_tag)
]
Names = Annotated[Several[ColumnName], Field(min_length=1, max_length=10_000)]
Features = Annotated[
    Annotated[Literal["all", "last"], Tag("~which")] | Annotated[Names, Tag("~names")], Discriminator(_features_tag)
]


class Data(Strict):
    """A data set, its validation share and its normalisation."""

    dataset: Annotated[str, Field(min_length=1, max_length=200)]
    """Name of a built-in set, or id of an uploaded one; `GET /v1/datasets` lists them."""
    parameters: dict[str, bool | int | float] = {}
    """Parameters of a generated set (rows, noise, seed, length, ...); sets from files take none."""
    target: ColumnName | None = None
    """Of an uploaded table: the column to predict; `null`: that of the data set."""
    task: Task | None = None
    """Of an uploaded table: whether the target is a class or a number; `null`: by its column."""
    kinds: dict[ColumnName, Kind] = {}
    """Of an uploaded table: what columns are taken for, where that is not what the data set says. What a job was
    accepted with, `target`, `features` and `task` too, is filled in: a later correction does not change it."""
    validation: Validation | None = 0.2
    """Share of the rows kept for validation, or another data set for it; `null` keeps none."""
    split: Literal["auto", "random", "stratified", "time", "group"] = "auto"
    """Which rows are kept. `stratified`: at random, of each class its share; `time`: the last ones, by the column of
    times or, without one, as they were uploaded; `group`: whole groups at random. `auto` is `stratified` for classes,
    `time` for series, else `random`."""
    rows: Annotated[int, Field(ge=2, le=2**40)] | None = None
    """Train on at most so many rows: the training part is cut after the split, stratified for classes."""
    label_noise: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the training rows whose target is drawn anew from the training targets, for experiments."""
    features: Features = "all"
    """`last`: only the last time step of a sequence, as a table. Of an uploaded table also the names of columns; `all`
    are those of the data set."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Decides the split, the rows that are kept and the label noise, and nothing else does."""
    normalise: Literal["standard", "minmax", "none"] = "standard"
    """Scaling by statistics of the training part: to mean 0 and deviation 1, or to [0, 1]. Per feature over rows and
    time, for images per channel; targets of a regression are scaled likewise."""

    uploaded: Uploaded | None = None
    """What was known of an uploaded data set when the job was accepted. Filled in by the service; what is sent here is
    replaced."""

    @property
    def columns(self) -> Columns | None:
        """Of an uploaded table."""
        return self.uploaded.columns if self.uploaded else None

    @property
    def validation_set(self) -> ValidationSet | None:
        return self.validation if isinstance(self.validation, ValidationSet) else None

    @property
    def uploads(self) -> dict[str, Uploaded]:
        """The uploaded data sets that the job uses, by id."""
        used = {self.dataset: self.uploaded}
        if self.validation_set is not None:
            used[self.validation_set.dataset] = self.validation_set.uploaded
        return {dataset: uploaded for dataset, uploaded in used.items() if uploaded is not None}

    def held_out_rows(self, rows: int) -> int:
        """How many of the rows are kept for validation: the share, rounded, but at least one and never all."""
        return min(max(round(rows * self.validation), 1), rows - 1) if isinstance(self.validation, float) else 0

    def validation_rows(self, rows: int) -> int:
        """How many rows there are to validate on, of so many in the data set."""
        known = self.validation_set and self.validation_set.uploaded
        return known.rows if known else self.held_out_rows(rows)

    def training_rows(self, rows: int) -> int:
        """How many of the rows are trained on."""
        left = rows - self.held_out_rows(rows)
        return left if self.rows is None else min(self.rows, left)
