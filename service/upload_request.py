"""What `POST /v1/datasets` takes, for the contract: a form of the file and its options, the bytes alone with the
options in the query, or the place of an object in S3."""

from typing import Any

from models.ingest.options import Options
from service.openapi import BINARY, BYTES, SCHEMAS, Body, form_request, schemas_of

NAME = {"type": "string", "maxLength": 200, "description": "For people; default: that of the file."}
URL = {"type": "string", "description": "Of an object in S3 that the service may read (DESCENT_URL_SOURCES)."}
SOURCE = "UploadSource"
EXAMPLE = {"from S3": {"summary": "from S3", "value": {"url": "s3://bucket/rows.csv", "target": "price"}}}


def upload_request() -> Body:
    schemas = dict(schemas_of(Options))
    options = schemas.pop(Options.__name__)
    source = options | {
        "title": SOURCE,
        "description": "An object in S3, and how it is read.",
        "properties": {"url": URL, "name": NAME} | options["properties"],
        "required": ["url"],
    }
    content = {"schema": {"$ref": SCHEMAS + SOURCE}, "examples": EXAMPLE}
    return _form() | BYTES | Body({"application/json": content}, schemas | {SOURCE: source})


def upload_parameters() -> list[dict[str, Any]]:
    """The options as parameters of the query, beside a body that is the file itself."""
    return [
        {"name": name, "in": "query", "description": schema["description"], "schema": schema}
        for name, schema in _options_as_text().items()
    ]


def _form() -> Body:
    file = BINARY | {"description": "With the name of the file, as forms send it."}
    described = {"description": "A file, and how it is read.", "required": ["file"]}
    return form_request("UploadForm", described | {"properties": {"file": file} | _options_as_text()})


def _options_as_text() -> dict[str, dict[str, Any]]:
    properties = Options.model_json_schema()["properties"]
    return {"name": NAME} | {name: _as_text(schema) for name, schema in properties.items()}


def _as_text(schema: dict[str, Any]) -> dict[str, Any]:
    """Of an option in a form or a query, where there are neither arrays nor objects, and no null."""
    variants = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    kinds = {one.get("type") for one in variants}
    said = {"description": schema["description"]}
    if kinds & {"array", "object"}:
        return {"type": "string", "description": f"{schema['description']} Here as JSON."}
    if "boolean" in kinds:
        return {"type": "string", "enum": ["true", "false"]} | said
    if len(variants) == 1:
        known = {name: value for name, value in variants[0].items() if name not in ("title", "default")}
        return known | said
    names = [name for one in variants for name in (*one.get("enum", ()), *([one["const"]] if "const" in one else ()))]
    return {"type": "string", "enum": names} | said
