"""Bodies that a client might send by mistake or on purpose, and what any answer to them has to be."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from hypothesis import strategies as st

from service.item_codes import ITEMS

EXAMPLES = [json.loads(path.read_text()) for path in sorted((Path(__file__).parents[1] / "examples").glob("*.json"))]
SMALL: dict[str, Any] = {"network": {"family": "dnn", "hidden": [4]}, "data": {"dataset": "xor"}}
MOST_BYTES = 2_500_000
"""Of a body: beyond the limit, and what is far beyond it says no more."""
MOST_CHARACTERS = 1_000_000
"""Of a refusal: no more than the largest body."""
REFUSED = {400, 413, 422}

texts = st.text(max_size=40) | st.sampled_from(
    [
        "",
        "\0",
        "\ud800",
        "\udfff\ud800",
        "é" * 300,
        "☃",
        "a" * 70_000,
        "/~0~1",
        "null",
        "auto",
        "dat_" + "0" * 26,
        "../..",
    ]
)
numbers = (
    st.integers()
    | st.floats()
    | st.sampled_from([0, -1, 2**31, 2**53 + 1, 2**63, 10**30, 10**500, -(10**500), 1e308, 1e-320, -0.0, 0.1 + 0.2])
)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


def nested(depth: int, kind: str) -> Any:
    """Within each other, so many."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind == "list" else {"a": value}
    return value


odd = (
    values
    | st.builds(nested, st.integers(1, 60), st.sampled_from(["list", "dict"]))
    | st.builds(lambda item, times: [item] * times, scalars, st.sampled_from([10, 1100, 20_000]))
    | st.builds(lambda times: {str(index): index for index in range(times)}, st.sampled_from([100, 5000]))
)
"""Of a wrong type, too deep, too long."""


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*place, key))


@st.composite
def changed(draw: st.DrawFn) -> Any:
    """A definition that was right, with up to three places replaced, removed or added."""
    body = json.loads(json.dumps(draw(st.sampled_from([SMALL, *EXAMPLES]))))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(list(places(body))))
        action = draw(st.sampled_from(["replace", "remove", "add"]))
        if not place:
            return draw(odd)
        parent = body
        for key in place[:-1]:
            parent = parent[key]
        if action == "remove":
            del parent[place[-1]]
        elif action == "add" and isinstance(parent, dict):
            parent[draw(texts)] = draw(odd)
        else:
            parent[place[-1]] = draw(odd)
    return body


def written(value: Any) -> bytes:
    """JSON as Python writes it, NaN and lone surrogates included."""
    return json.dumps(value).encode()


def with_duplicates(value: Any, key: str, other: Any) -> bytes:
    """An object that says one of its names twice."""
    return written(value).replace(b"{", b"{" + written(key) + b": " + written(other) + b", ", 1)


class Body:
    """It may have a megabyte; a report of a failure shows the beginning. Hypothesis prints dataclasses whole."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __repr__(self) -> str:
        return f"Body({self.content[:2000]!r}), {len(self.content)} bytes"


bodies = (
    changed().map(written)
    | st.builds(with_duplicates, changed(), st.sampled_from(["network", "data", "name", "x"]), odd)
    | odd.map(written)
    | st.binary(max_size=200)
    | st.integers(1, 100_000).map(lambda depth: b"[" * depth + b"]" * depth)
    | st.integers(1, 300).map(lambda length: written(SMALL)[:-1] + b"," * length)
    | st.sampled_from([b"", b"\xff\xfe{}", b"\xef\xbb\xbf{}", b'{"name": "' + b"a" * 1_100_000 + b'"}'])
).map(lambda content: Body(content[:MOST_BYTES]))


class Reply(Protocol):
    status_code: int
    text: str


def judge(reply: Reply, kind: str, accepted: int) -> None:
    """It is accepted, or refused as a problem that says where."""
    if reply.status_code == accepted:
        return
    assert reply.status_code in REFUSED, (reply.status_code, reply.text[:1000])
    assert kind == "application/problem+json"
    problem = json.loads(reply.text)
    assert problem["detail"]
    assert problem["type"] == f"/docs/problems/{problem['code']}"
    assert "Traceback" not in reply.text
    assert len(reply.text) < MOST_CHARACTERS, len(reply.text)
    if reply.status_code == 422:
        assert problem["errors"]
        for error in problem["errors"]:
            assert error["pointer"] == "" or error["pointer"].startswith("/"), error
            assert error["code"] in ITEMS, error
            assert error["detail"]
            assert error["hint"]
