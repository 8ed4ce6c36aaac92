"""The rules that every part of a definition obeys."""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")
Several = Annotated[tuple[Item, ...], Field(strict=False)]
"""A JSON array, kept as a tuple. Only the array itself is lenient (a list is taken), its items are not."""


class Strict(BaseModel):
    """Takes what is written and guesses nothing: no unknown field, no "5" for 5, no NaN, no infinity."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    def plain(self) -> dict[str, Any]:
        """The value as JSON types, every default filled in."""
        return self.model_dump(mode="json")
