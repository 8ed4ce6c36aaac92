"""What a body may not hold is told with its place."""

import pytest

from models.errors import InvalidDefinition, NotJson
from models.json_body import parse

TWICE: dict[str, list[str]] = {
    '{"a": 1, "a": 2}': ["/a"],
    '{"a": 1, "a": 1}': ["/a"],
    '{"a": 1, "b": 2, "a": 3, "b": 4, "a": 5}': ["/a", "/b"],
    '{"a": {"b": [0, {"c": 1, "c": null}]}}': ["/a/b/1/c"],
    '[{"a": 1, "a": 2}, {"a": 1}]': ["/0/a"],
    '{"a": {"b": 1, "b": 2}, "a": 3}': ["/a"],
    '{"a": 3, "a": {"b": 1, "b": 2}}': ["/a"],
    '{"a/b": 1, "a\\u002fb": 2}': ["/a~1b"],
    '{"": 1, "": 2}': ["/"],
}


@pytest.mark.parametrize("body", TWICE)
def test_a_key_that_comes_twice_is_refused_where_it_stands(body: str) -> None:
    with pytest.raises(InvalidDefinition) as refused:
        parse(body.encode())
    assert sorted(problem.pointer for problem in refused.value.problems) == TWICE[body]
    assert {problem.code for problem in refused.value.problems} == {"duplicate_key"}


def test_the_same_key_of_several_objects_is_no_repetition() -> None:
    body = '{"a": {"a": [{"a": "a: \\"a\\": 1"}, {"a": 2}]}, "A": 1}'
    assert parse(body.encode()) == {"a": {"a": [{"a": 'a: "a": 1'}, {"a": 2}]}, "A": 1}


def test_a_byte_order_mark_is_named() -> None:
    with pytest.raises(NotJson, match="a byte order mark, at line 1"):
        parse(b"\xef\xbb\xbf{}")
