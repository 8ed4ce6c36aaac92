"""Ids in paths."""

from pydantic import AfterValidator

from models.errors import NotFound
from models.ids import is_id


def id_of(noun: str) -> AfterValidator:
    """What is no id at all is the id of nothing: 404, and not 422."""

    def check(text: str) -> str:
        if not is_id(text):
            raise NotFound(f"There is no such {noun}.")
        return text

    return AfterValidator(check)
