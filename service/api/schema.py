"""`/v1/schema/job`: what a definition may say, for editors, validators and agents."""

from functools import cache
from typing import Any

from flask import Response, jsonify

from models.definitions.job import JobDefinition
from service.openapi import Query, answers, blueprint

api = blueprint("schema", "What a definition may say.")

DRAFT = "https://json-schema.org/draft/2020-12/schema"
SCHEMA = {"description": "JSON Schema, draft 2020-12", "content": {"application/json": {"schema": {"type": "object"}}}}


@cache
def job_schema() -> dict[str, Any]:
    return {"$schema": DRAFT, "$id": "/v1/schema/job"} | JobDefinition.model_json_schema()


@api.get("/v1/schema/job", summary="The JSON Schema of a definition", responses=answers(200, None, 422) | {200: SCHEMA})
def get_job_schema(query: Query) -> Response:
    """Each field with its default, its bounds and a sentence about it. Shapes that do not fit, and networks that are
    too large, no schema can tell: `POST /v1/estimates` does."""
    return jsonify(job_schema())
