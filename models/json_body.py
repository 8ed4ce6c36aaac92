"""JSON from the bytes of a request, with the checks that come before any validation."""

import json
import math
from typing import Any, TypeAlias

from models.errors import MOST_OF_A_POINTER, InvalidDefinition, NotJson, Problem

DEEPEST = 32
"""Levels of nesting a body may have."""
MOST_PROBLEMS = 100
"""Problems that one answer lists."""
MOST_DIGITS = 400
"""Of a whole number; more than any double has."""
BYTE_ORDER_MARK = "\ufeff"
TWICE = object()
"""In the place of a value whose key came more than once."""
Place: TypeAlias = "tuple[Place, str] | None"
"""The last key on the way to a value, behind the place that it is in; None is the whole body."""


def parse(body: bytes) -> Any:
    """JSON (RFC 8259) from bytes: no NaN, no Infinity, UTF-8, each key of an object once, at most `DEEPEST` levels.

    Raises:
        NotJson, InvalidDefinition
    """
    try:
        value = DECODER.decode(body.decode("utf-8"))
    except RecursionError:
        raise InvalidDefinition([_too_deep("")]) from None
    except UnicodeDecodeError as error:
        raise NotJson(f"The body is not UTF-8: byte {error.start} does not fit.") from error
    except json.JSONDecodeError as error:
        wrong = "a byte order mark" if error.doc.startswith(BYTE_ORDER_MARK) else error.msg
        raise NotJson(f"The body is not JSON: {wrong}, at line {error.lineno}, column {error.colno}.") from error
    problems = _check(value)
    if problems:
        raise InvalidDefinition(problems[:MOST_PROBLEMS])
    return value


def _refuse_constant(name: str) -> Any:
    raise NotJson(f"The body is not JSON: {name} is not a JSON value; write a finite number, or null.")


def _parse_int(digits: str) -> int | float:
    # Thousands of digits would take quadratic time; as an infinity they are refused where they stand.
    return int(digits) if len(digits) <= MOST_DIGITS else math.inf


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        seen: set[str] = set()
        for key, _ in members:
            if key in seen:
                found[key] = TWICE
            seen.add(key)
    return found


# Kept: to make one takes longer than to read a usual definition with it.
DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant, parse_int=_parse_int)


def _check(value: Any) -> list[Problem]:
    """What no text may hold (NUL, lone surrogates), keys that came twice, and nesting that is too deep; without
    recursion. At most about MOST_PROBLEMS."""
    problems: list[Problem] = []
    waiting: list[tuple[Any, Place, int]] = [(value, None, 1)]
    while waiting and len(problems) < MOST_PROBLEMS:
        node, place, depth = waiting.pop()
        if isinstance(node, str):
            problems += _text_problems(node, place)
        elif isinstance(node, dict | list) and depth > DEEPEST:
            return [_too_deep(_pointer(place))]
        elif isinstance(node, dict):
            for key in node:
                problems += _text_problems(key, place)
            waiting += [(item, (place, key), depth + 1) for key, item in node.items()]
        elif isinstance(node, list):
            waiting += [(item, (place, str(index)), depth + 1) for index, item in enumerate(node)]
        elif node is TWICE:
            told = "This key came more than once."
            problems.append(Problem(_pointer(place), "duplicate_key", told, "Keep one of them."))
    return problems


def _pointer(place: Place) -> str:
    """Written only for what is wrong: under a name of a megabyte may be a hundred thousand values."""
    keys = []
    while place is not None:
        place, key = place
        keys.append(escape(key[:MOST_OF_A_POINTER]))
    return "".join(f"/{key}" for key in reversed(keys))


def _text_problems(text: str, place: Place) -> list[Problem]:
    if "\0" in text:
        return [Problem(_pointer(place), "nul_character", "A text holds the character NUL.", "Leave it out.")]
    if any("\ud800" <= character <= "\udfff" for character in text):
        return [
            Problem(_pointer(place), "lone_surrogate", "A text holds half of a surrogate pair.", "Send valid Unicode.")
        ]
    return []


def _too_deep(pointer: str) -> Problem:
    detail = f"The body is nested more than {DEEPEST} levels deep."
    return Problem(pointer[:200], "too_deep", detail, "A definition needs no more than six.")


def escape(key: str) -> str:
    """A key as a part of a JSON Pointer."""
    return key.replace("~", "~0").replace("/", "~1")
