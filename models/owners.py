"""Whose rows a caller may see: those of one owner, or everybody's. The statement itself says so, never a later filter.

An owner is a name that API keys share (`api_keys.owner`): a key that takes another's place keeps what is the owner's.
"""

from typing import Any

from sqlalchemy import ColumnElement, Text, bindparam, or_, true

EVERYBODY = "*"
"""Instead of an owner: what an admin sees. No owner is called so."""
ASKED = bindparam("owner", type_=Text)


def seen(column: Any, owner: str) -> ColumnElement[bool]:
    """Whether this owner, or EVERYBODY, may see a row whose owner is in the column."""
    of_owner: ColumnElement[bool] = column == owner
    return true() if owner == EVERYBODY else of_owner


def seen_by_asker(column: Any) -> ColumnElement[bool]:
    """The same of a statement that is made once, with the owner in its parameter `owner`; for rows that are found by
    their id: no index serves an OR."""
    return or_(column == ASKED, ASKED == EVERYBODY)
