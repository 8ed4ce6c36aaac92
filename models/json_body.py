"""JSON from the bytes of a request, with the checks that come before any validation."""

import json
import math
from typing import Any

from models.errors import InvalidDefinition, NotJson, Problem

DEEPEST = 32
"""Levels of nesting a body may have."""
MOST_PROBLEMS = 100
"""Problems that one answer lists."""
MOST_DIGITS = 400
"""Of a whole number; more than any double has."""
BYTE_ORDER_MARK = "\ufeff"
TWICE = object()
"""In the place of a value whose key came more than once."""


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
    recursion."""
    problems: list[Problem] = []
    waiting: list[tuple[Any, str, int]] = [(value, "", 1)]
    while waiting:
        node, pointer, depth = waiting.pop()
        if isinstance(node, str):
            problems += _text_problems(node, pointer)
        elif isinstance(node, dict | list) and depth > DEEPEST:
            return [_too_deep(pointer)]
        elif isinstance(node, dict):
            problems += [problem for key in node for problem in _text_problems(key, pointer)]
            waiting += [(item, f"{pointer}/{escape(key)}", depth + 1) for key, item in node.items()]
        elif isinstance(node, list):
            waiting += [(item, f"{pointer}/{index}", depth + 1) for index, item in enumerate(node)]
        elif node is TWICE:
            problems.append(Problem(pointer, "duplicate_key", "This key came more than once.", "Keep one of them."))
    return problems


def _text_problems(text: str, pointer: str) -> list[Problem]:
    if "\0" in text:
        return [Problem(pointer, "nul_character", "A text holds the character NUL.", "Leave it out.")]
    if any("\ud800" <= character <= "\udfff" for character in text):
        return [Problem(pointer, "lone_surrogate", "A text holds half of a surrogate pair.", "Send valid Unicode.")]
    return []


def _too_deep(pointer: str) -> Problem:
    detail = f"The body is nested more than {DEEPEST} levels deep."
    return Problem(pointer[:200], "too_deep", detail, "A definition needs no more than six.")


def escape(key: str) -> str:
    """A key as a part of a JSON Pointer."""
    return key.replace("~", "~0").replace("/", "~1")
