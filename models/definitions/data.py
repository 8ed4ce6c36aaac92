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
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Decides the split, and nothing else does."""
    normalise: Literal["standard", "minmax", "none"] = "standard"
    """Scaling by statistics of the training part: to mean 0 and deviation 1, or to [0, 1]. Per feature over rows and
    time, for images per channel; targets of a regression are scaled likewise."""

    def validation_rows(self, rows: int) -> int:
        """How many of the rows are kept for validation: the share, rounded, but at least one and never all."""
        return 0 if self.validation is None else min(max(round(rows * self.validation), 1), rows - 1)
