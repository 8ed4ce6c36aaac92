"""docs/definitions.md says all there is, says it of the code as it is, and its examples are valid."""

import re
from typing import Any

import pytest

from models.definitions.job import JobDefinition
from models.definitions.reference import CHAPTERS, EXAMPLES, PAGE, SHARED, reference, type_of

SCHEMA = JobDefinition.model_json_schema()
MODELS = {**{name: schema for name, schema in SCHEMA["$defs"].items() if "enum" not in schema}, "JobDefinition": SCHEMA}
"""All that can be reached from a job."""


def sections() -> dict[str, str]:
    heading, *parts = re.split(r"^### (\w+)\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert heading.startswith("# Definitions")
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_the_page_is_that_of_the_code() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run `make reference`"


def test_every_object_has_a_section_and_nothing_else_has() -> None:
    assert set(sections()) == set(MODELS) | set(SHARED)


@pytest.mark.parametrize("name", MODELS)
def test_every_field_is_in_its_table_with_type_default_and_meaning(name: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \| (.+) \|$", sections()[name], flags=re.MULTILINE)
    assert {row[0] for row in rows} == set(MODELS[name]["properties"])
    required = {field for field, _, default, _ in rows if default == "required"}
    assert required == set(MODELS[name].get("required", ()))


def test_every_link_leads_to_a_section() -> None:
    links = re.findall(r"\]\(#(\w+)\)", PAGE.read_text(encoding="utf-8"))
    assert set(links) <= {name.lower() for name in sections()}


@pytest.mark.parametrize("model", [part for parts in CHAPTERS.values() for part in parts if not isinstance(part, str)])
def test_every_object_has_an_example_that_is_valid(model: Any) -> None:
    example = EXAMPLES[model]
    assert (
        model.model_validate(example).plain().items()
        >= {name: value for name, value in example.items() if not isinstance(value, dict | list)}.items()
    )


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 2**40}, "integer ≥ 1 and ≤ 2^40"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1e6}, "number > 0 and ≤ 1 000 000"),
        ({"anyOf": [{"const": "auto"}, {"type": "null"}]}, '`"auto"` or `null`'),
        ({"enum": ["a", "b"]}, '`"a"` | `"b"`'),
        ({"type": "array", "items": {"$ref": "#/$defs/Block"}, "maxItems": 3},
         "list of 0 to 3 items, each [Block](#block)"),
    ],
)  # fmt: skip
def test_a_type_is_read_aloud(schema: dict[str, Any], words: str) -> None:
    assert type_of(schema) == words
