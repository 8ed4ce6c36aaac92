"""Examples for the contract: of each problem by its code, and of each answer by its schema."""

from collections.abc import Iterator
from typing import Any

from service.problems import EXPLAINED, body_of

MOMENT = "2026-01-31T12:00:00.000Z"
OF_PROBLEMS = "#/components/examples/"


def add_examples(contract: dict[str, Any]) -> None:
    """To answers that have none; the contract is changed in place."""
    components = contract["components"]
    components["examples"] = {code: _problem(code) for code, said in EXPLAINED.items() if said.status}
    for status, form, content in answers_of(contract):
        if form == "application/problem+json":
            content["examples"] = _problems_of(status)
        elif form == "application/json" and not content.keys() & {"example", "examples"}:
            _show(content, components["schemas"])


def answers_of(contract: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Of each answer its status, a media type, and what the contract says of that."""
    for calls in contract["paths"].values():
        for operation in calls.values():
            for status, answer in operation["responses"].items():
                for form, content in answer.get("content", {}).items():
                    yield status, form, content


def _show(content: dict[str, Any], schemas: dict[str, Any]) -> None:
    """An answer that many calls give has its example once, with its schema."""
    schema = content["schema"]
    if "$ref" in schema:
        named = schemas[schema["$ref"].rpartition("/")[2]]
        named.setdefault("examples", [example_of(named, schemas)])
    else:
        content["example"] = example_of(schema, schemas)


def _problems_of(status: str) -> dict[str, Any]:
    codes = [code for code, said in EXPLAINED.items() if said.status and str(int(said.status)) == status]
    return {code: {"$ref": OF_PROBLEMS + code} for code in codes}


def _problem(code: str) -> dict[str, Any]:
    said = EXPLAINED[code]
    assert said.status is not None
    value = body_of(int(said.status), code, said.meaning, "bea1896f7b64e4f2")
    return {"summary": said.meaning, "value": value}


def example_of(schema: dict[str, Any], schemas: dict[str, Any], depth: int = 0) -> Any:
    """A value that fits a schema: what it says of itself, else the simplest. `schemas`: those that it may refer to."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas, depth)
    for name in ("const", "example", "default"):
        if schema.get(name) is not None:
            return schema[name]
    for name in ("examples", "enum"):
        if schema.get(name):
            return schema[name][0]
    for name in ("anyOf", "oneOf"):
        if name in schema:
            kinds = [kind for kind in schema[name] if kind.get("type") != "null"]
            may_miss = len(kinds) < len(schema[name])
            return None if may_miss and depth > 1 else example_of(kinds[0], schemas, depth)
    return _simplest(schema, schemas, depth)


def _simplest(schema: dict[str, Any], schemas: dict[str, Any], depth: int) -> Any:
    kind = schema.get("type")
    if kind == "object":
        fields = schema.get("properties", {})
        return {name: example_of(field, schemas, depth + 1) for name, field in fields.items()}
    if kind == "array":
        items = schema.get("prefixItems") or [schema.get("items", {})] * schema.get("minItems", 1)
        return [example_of(item, schemas, depth + 1) for item in items]
    if kind == "string":
        return MOMENT if schema.get("format") == "date-time" else "text"
    return {"integer": schema.get("minimum", 1), "number": schema.get("minimum", 0.5), "boolean": True}.get(kind or "")
