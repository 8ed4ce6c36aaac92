"""What differs between definitions, in words of the definition: of a patch, or of two or more jobs."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Changes = list[tuple[str, str, str]]
"""Where, before and after."""
ABSENT = "–"
LONGEST = 60
NOT_SHOWN = ("/name", "/tags", "/data/uploaded")
"""Differ without any consequence, or with too many words."""


def changes_of(patch: Iterable[Mapping[str, Any]], definition: Any) -> Changes:
    """What a JSON Patch of a remedy does: operations that set, add or remove a value."""
    return [
        (
            dotted(item["path"]),
            told(value_at(definition, item["path"])),
            told(item["value"]) if "value" in item else ABSENT,
        )
        for item in patch
    ]


def differences(definitions: Sequence[Any]) -> list[tuple[str, list[str]]]:
    """Of several definitions each place where not all are the same, with the value of each."""
    flat = [dict(_leaves(definition)) for definition in definitions]
    places = list(dict.fromkeys(place for leaves in flat for place in leaves))
    rows = [(place, [leaves.get(place, ABSENT) for leaves in flat]) for place in places]
    return [
        (dotted(place), values)
        for place, values in rows
        if len(set(values)) > 1 and not place.startswith(NOT_SHOWN)
    ]  # fmt: skip


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Lists of numbers are one leaf: the widths of a network are compared as a whole."""
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _leaves(part, f"{place}/{name}")
    elif isinstance(value, list) and any(isinstance(part, dict | list) for part in value):
        for index, part in enumerate(value):
            yield from _leaves(part, f"{place}/{index}")
    else:
        yield place, told(value)


def value_at(value: Any, pointer: str) -> Any:
    """At a JSON Pointer; None where there is nothing."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            value = value[int(name)] if name.isdecimal() and int(name) < len(value) else None
        else:
            value = value.get(name) if isinstance(value, dict) else None
    return value


def dotted(pointer: str) -> str:
    return pointer.removeprefix("/").replace("/", ".")


def told(value: Any) -> str:
    """As JSON, cut where it is long; a list of equal widths as what it is."""
    if isinstance(value, list) and len(value) > 3 and all(part == value[0] for part in value):
        return f"{len(value)} × {json.dumps(value[0])}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
