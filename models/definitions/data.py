"""Which data to train on, and how they are split and scaled."""

from typing import Annotated, Literal

from pydantic import Field

from models.definitions.base import Strict


class Data(Strict):
    """A data set, its validation share and its normalisation."""

    dataset: Annotated[str, Field(min_length=1, max_length=200)]
    """Name of a built-in set; `GET /v1/datasets` lists them."""
    parameters: dict[str, bool | int | float] = {}
    """Parameters of a generated set (rows, noise, seed, length, ...); sets from files take none."""
    validation: Annotated[float, Field(gt=0, le=0.9)] | None = 0.2
    """Share of the rows kept for validation (stratified for classes); `null` keeps none."""
    rows: Annotated[int, Field(ge=2, le=2**40)] | None = None
    """Train on at most so many rows: the training part is cut after the split, stratified for classes."""
    label_noise: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the training rows whose target is drawn anew from the training targets, for experiments."""
    features: Literal["all", "last"] = "all"
    """`last`: only the last time step of a sequence, as a table."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Decides the split, the rows that are kept and the label noise, and nothing else does."""
    normalise: Literal["standard", "minmax", "none"] = "standard"
    """Scaling by statistics of the training part: to mean 0 and deviation 1, or to [0, 1]. Per feature over rows and
    time, for images per channel; targets of a regression are scaled likewise."""

    def validation_rows(self, rows: int) -> int:
        """How many of the rows are kept for validation: the share, rounded, but at least one and never all."""
        return 0 if self.validation is None else min(max(round(rows * self.validation), 1), rows - 1)

    def training_rows(self, rows: int) -> int:
        """How many of the rows are trained on."""
        left = rows - self.validation_rows(rows)
        return left if self.rows is None else min(self.rows, left)
