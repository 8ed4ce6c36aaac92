"""How raw rows become features: the rule, and what is said of rows that do not fit."""

from typing import Any

import numpy as np
import pytest

from models.columns import Column, Columns
from models.errors import InvalidDefinition

COLUMNS = Columns(
    columns=(
        Column(name="age", kind="number", missing=1, fill=40.0, place=0),
        Column(name="member", kind="boolean", categories=("false", "true"), fill=0.0, place=1, stored="code"),
        Column(name="colour", kind="category", categories=("blue", "red"), missing=2, place=2, stored="code"),
        Column(name="rooms", kind="category", categories=("2", "3", "5"), place=3),
        Column(name="price", kind="number", place=4),
    ),
    features=("rooms", "age", "member", "colour"),
    target="price",
)
ROW: dict[str, Any] = {"age": 41, "member": True, "colour": "red", "rooms": 3}


def test_a_row_is_one_hot_where_it_is_a_category() -> None:
    assert COLUMNS.outputs == (
        *("rooms=2", "rooms=3", "rooms=5", "age", "member"),
        *("colour=blue", "colour=red", "colour is missing"),
    )
    assert COLUMNS.slices["colour"] == slice(5, 8)
    assert COLUMNS.encode([ROW]).tolist() == [[0, 1, 0, 41, 1, 0, 1, 0]]


def test_what_is_missing_is_the_median_or_a_category_of_its_own() -> None:
    row = {"age": None, "member": None, "colour": None, "rooms": 5}
    assert COLUMNS.encode([row]).tolist() == [[0, 0, 1, 40, 0, 0, 0, 1]]


def test_stored_rows_become_the_features_of_their_raw_twins() -> None:
    stored = np.array([[41, 1, 1, 3, 9], [np.nan, 0, np.nan, 5, 9]], np.float32)
    raw = [ROW, {"age": None, "member": False, "colour": None, "rooms": 5}]
    assert COLUMNS.encode_stored(stored).tolist() == COLUMNS.encode(raw).tolist()


def test_a_copy_through_json_encodes_alike() -> None:
    again = Columns.model_validate_json(COLUMNS.model_dump_json())
    assert again.encode([ROW]).tolist() == COLUMNS.encode([ROW]).tolist()


@pytest.mark.parametrize(
    ("row", "pointer", "code"),
    [
        ({"age": "41"}, "/inputs/1/age", "not_a_number"),
        ({"age": True}, "/inputs/1/age", "not_a_number"),
        ({"age": 1e300}, "/inputs/1/age", "number_too_large"),
        ({"age": 10**400}, "/inputs/1/age", "number_too_large"),
        ({"member": 1}, "/inputs/1/member", "not_a_boolean"),
        ({"colour": "green"}, "/inputs/1/colour", "unknown_category"),
        ({"colour": ["red"]}, "/inputs/1/colour", "not_a_category"),
        ({"rooms": None}, "/inputs/1/rooms", "missing_value"),
        ({"rooms": 2.5}, "/inputs/1/rooms", "unknown_category"),
        ({"rooms": 1e400}, "/inputs/1/rooms", "unknown_category"),
    ],
)
def test_a_value_that_does_not_fit_is_named(row: dict[str, Any], pointer: str, code: str) -> None:
    with pytest.raises(InvalidDefinition) as refused:
        COLUMNS.encode([ROW, ROW | row])
    assert [(p.pointer, p.code) for p in refused.value.problems] == [(pointer, code)]


def test_a_column_that_is_missing_and_a_row_that_is_no_object_are_named() -> None:
    with pytest.raises(InvalidDefinition) as refused:
        COLUMNS.encode([{name: ROW[name] for name in ROW if name != "age"}, [1, 2]])
    assert [(p.pointer, p.code) for p in refused.value.problems] == [
        ("/inputs/0/age", "missing_column"),
        ("/inputs/1", "not_an_object"),
    ]


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert COLUMNS.encode([ROW | {"rooms": 3.0}]).tolist() == COLUMNS.encode([ROW]).tolist()
