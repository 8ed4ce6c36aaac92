"""Rows of a request: read at once where they are plain, refused with their place where they are not."""

import math
from typing import Any

import numpy as np
import pytest

from models.catalogue import DataShape, shape_of_upload
from models.errors import InvalidDefinition
from models.inputs import MOST_ROWS, Inputs
from models.words import Words
from tests.models.mixed import COLUMNS, EMPTY, NUMBERS, ROW, uploaded

TABLE = Inputs(DataShape("table", "classification", 9, (3,), 2, ("a", "b")))
IMAGE = Inputs(DataShape("image", "classification", 9, (1, 2, 2), 2, ("a", "b")))
SEQUENCE = Inputs(DataShape("sequence", "regression", 9, (4, 2), 1), free_length=True)
TOKENS = Inputs(DataShape("tokens", "classification", 9, (4,), 2, ("a", "b"), vocabulary=7), free_length=True)
FIXED = Inputs(DataShape("sequence", "regression", 9, (4, 2), 1))
MIXED = Inputs(shape_of_upload(uploaded()), COLUMNS)
SERIES = Inputs(shape_of_upload(uploaded(length=3)), COLUMNS, free_length=True)
NUMERIC = Inputs(shape_of_upload(uploaded(NUMBERS)), NUMBERS)


@pytest.mark.parametrize("has_booleans", [False, True])
@pytest.mark.parametrize(
    ("inputs", "rows", "kind"),
    [
        (TABLE, [[1, 2.5, -3], [0, 0, 1e30]], np.float32),
        (IMAGE, [[[[1, 2], [3, 4]]]], np.float32),
        (SEQUENCE, [[[1, 2], [3, 4], [5, 6], [7, 8], [9, 0]]], np.float32),
        (TOKENS, [[0, 6, 3]], np.int64),
    ],
)
def test_nested_lists_are_tensors(inputs: Inputs, rows: Any, kind: Any, has_booleans: bool) -> None:
    [(places, feeds)] = inputs.read(rows, has_booleans)
    assert places == list(range(len(rows)))
    assert feeds["input"].dtype == kind
    assert np.array_equal(feeds["input"], np.array(rows, kind))


def test_sequences_of_several_lengths_go_by_length() -> None:
    found = TOKENS.read([[1, 2], [3], [4, 5]])
    assert [(places, feeds["input"].tolist()) for places, feeds in found] == [([0, 2], [[1, 2], [4, 5]]), ([1], [[3]])]


def test_objects_of_a_mixed_table_are_a_tensor_a_column() -> None:
    [(_, feeds)] = MIXED.read([ROW, EMPTY | {"more": 1}])
    assert {name: values.shape for name, values in feeds.items()} == dict.fromkeys(COLUMNS.features, (2, 1))
    assert feeds["age"][0, 0] == 31
    assert math.isnan(feeds["age"][1, 0])
    assert feeds["member"].ravel().tolist() == [1, 0]
    assert feeds["colour"].ravel().tolist() == ["red", "été"]
    assert feeds["rooms"].ravel().tolist() == ["10", ""]


def test_lists_in_the_order_of_the_features_are_rows_too() -> None:
    [(_, feeds)] = MIXED.read([list(ROW.values())])
    assert feeds["colour"].tolist() == [["red"]]
    [(_, numbers)] = NUMERIC.read([[None, 1]])
    assert math.isnan(numbers["input"][0, 0])


def test_numbers_by_name_are_one_tensor() -> None:
    [(_, feeds)] = NUMERIC.read([{"member": True, "age": None}, {"member": False, "age": 2}])
    assert feeds["input"][1].tolist() == [2, 0]
    assert math.isnan(feeds["input"][0, 0])


def test_series_are_lists_of_objects() -> None:
    [(_, feeds)] = SERIES.read([[ROW, EMPTY], [EMPTY, ROW]])
    assert feeds["colour"].shape == (2, 2, 1)
    assert feeds["colour"][1].ravel().tolist() == ["été", "red"]


def test_texts_are_their_words_and_words_their_tokens() -> None:
    words = Words(["hello", "world", "!"])
    texts = Inputs(DataShape("tokens", "regression", 9, (4,), 1, vocabulary=5), None, True, words)
    [(_, feeds), (places, short)] = texts.read(["Hello world!", "never seen", [2, 3, 4, 1], ["World", 4]])
    assert feeds["input"].tolist() == [[0, 2, 3, 4], [0, 0, 1, 1], [2, 3, 4, 1]]
    assert (places, short["input"].tolist()) == ([3], [[3, 4]])


REFUSED: list[tuple[Inputs, Any, str, str]] = [
    (TABLE, {}, "/inputs", "not_a_list"),
    (TABLE, "rows", "/inputs", "not_a_list"),
    (TABLE, [], "/inputs", "no_rows"),
    (TABLE, [[1, 2, 3]] * (MOST_ROWS + 1), "/inputs", "too_many_rows"),
    (TABLE, [[1, 2, 3], [1, 2]], "/inputs/1", "wrong_shape"),
    (TABLE, [[1, 2, 3, 4]], "/inputs/0", "wrong_shape"),
    (TABLE, [1, 2, 3], "/inputs/0", "wrong_shape"),
    (TABLE, [[1, "2", 3]], "/inputs/0/1", "not_a_number"),
    (TABLE, [[1, True, 3]], "/inputs/0/1", "not_a_number"),
    (TABLE, [[1, None, 3]], "/inputs/0/1", "not_a_number"),
    (TABLE, [[1, [2], 3]], "/inputs/0/1", "not_a_number"),
    (TABLE, [[1, {}, 3]], "/inputs/0/1", "not_a_number"),
    (TABLE, [[1, 1e39, 3]], "/inputs/0/1", "number_too_large"),
    (TABLE, [[1, 10**400, 3]], "/inputs/0/1", "number_too_large"),
    (TABLE, [{"a": 1}], "/inputs/0", "wrong_shape"),
    (IMAGE, [[[[1, 2], [3]]]], "/inputs/0/0/1", "wrong_shape"),
    (IMAGE, [[[1, 2], [3, 4]]], "/inputs/0", "wrong_shape"),
    (SEQUENCE, [[]], "/inputs/0", "not_a_sequence"),
    (SEQUENCE, [[[1, 2]], [[1]]], "/inputs/1/0", "wrong_shape"),
    (FIXED, [[[1, 2]] * 3], "/inputs/0", "wrong_shape"),
    (TOKENS, [[1, 7]], "/inputs/0/1", "unknown_token"),
    (TOKENS, [[1, -1]], "/inputs/0/1", "unknown_token"),
    (TOKENS, [[1, 1.0]], "/inputs/0/1", "not_a_token"),
    (TOKENS, [[1, "a"]], "/inputs/0/1", "not_a_token"),
    (MIXED, [ROW, ROW | {"colour": "green"}], "/inputs/1/colour", "unknown_category"),
    (MIXED, [ROW | {"rooms": 3}], "/inputs/0/rooms", "unknown_category"),
    (MIXED, [ROW | {"rooms": 10**400}], "/inputs/0/rooms", "unknown_category"),
    (MIXED, [ROW | {"rooms": float("inf")}], "/inputs/0/rooms", "unknown_category"),
    (MIXED, [ROW | {"colour": None}], "/inputs/0/colour", "missing_value"),
    (MIXED, [ROW | {"colour": ["red"]}], "/inputs/0/colour", "not_a_category"),
    (MIXED, [ROW | {"age": "31"}], "/inputs/0/age", "not_a_number"),
    (MIXED, [ROW | {"age": True}], "/inputs/0/age", "not_a_number"),
    (MIXED, [ROW | {"age": 1e39}], "/inputs/0/age", "number_too_large"),
    (MIXED, [ROW | {"member": 1}], "/inputs/0/member", "not_a_boolean"),
    (MIXED, [ROW, {"age": 1}], "/inputs/1/member", "missing_column"),
    (MIXED, [ROW, [1, 2]], "/inputs/1", "not_an_object"),
    (MIXED, [[1, 2]], "/inputs/0", "wrong_row"),
    (MIXED, [None], "/inputs/0", "wrong_row"),
    (SERIES, [[ROW, ROW | {"colour": "green"}]], "/inputs/0/1/colour", "unknown_category"),
    (SERIES, [[ROW], [ROW, None]], "/inputs/1/1", "not_an_object"),
    (NUMERIC, [{"age": 1, "member": 2}], "/inputs/0/member", "not_a_boolean"),
]


@pytest.mark.parametrize(("inputs", "rows", "pointer", "code"), REFUSED)
def test_what_does_not_fit_is_refused_with_its_place(inputs: Inputs, rows: Any, pointer: str, code: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        inputs.read(rows)
    assert (caught.value.problems[0].pointer, caught.value.problems[0].code) == (pointer, code)
