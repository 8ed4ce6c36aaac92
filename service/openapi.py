"""The one module that knows the OpenAPI library: the app, its blueprints, and what they say of themselves."""

from functools import cache
from typing import Any

from flask import redirect
from flask.json.provider import DefaultJSONProvider
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.info import Info
from flask_openapi.models.tag import Tag
from flask_openapi.openapi import OpenAPI
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from models.definitions.job import JobDefinition
from service.errors import answer_query
from service.replies import ProblemReply

SECURITY: dict[str, Any] = {"key": {"type": "http", "scheme": "bearer", "description": "An API key, `dsc_...`."}}
DESCRIPTION = (
    "POST a network; get back a trained model, and the numbers that say why it learned or did not. "
    "Every error is an `application/problem+json` with its place and a hint."
)
PROBLEMS = {
    400: "Not JSON",
    401: "No key, or a wrong one",
    404: "There is no such thing",
    406: "Not available in the form that Accept asks for",
    409: "The job's state does not allow it",
    413: "The body is too large",
    415: "The body is not `application/json`",
    422: "Understood, but wrong; all errors at once",
    429: "A limit is reached; see Retry-After",
    503: "The database is away; see Retry-After",
}


class Json(DefaultJSONProvider):
    """Pydantic's encoder, which takes a quarter of the time; keys keep their order, what is not finite is null."""

    def dumps(self, obj: Any, **options: Any) -> str:
        return to_json(obj, inf_nan_mode="null").decode()


class Query(BaseModel):
    """Base of all query models: an unknown parameter is refused by name."""

    model_config = {"extra": "forbid", "use_attribute_docstrings": True}

    @classmethod
    @cache
    def model_json_schema(cls, **options: Any) -> dict[str, Any]:  # type: ignore[override]
        """The schema, made once: the OpenAPI library asks for it at every request, and making it takes 0.3 ms."""
        return super().model_json_schema(**options)


def create_openapi_app(import_name: str, version: str) -> OpenAPI:
    """A Flask app that describes itself at /openapi.json and /docs."""
    app = OpenAPI(
        import_name,
        info=Info(title="Descent", version=version, description=DESCRIPTION),
        security_schemes=SECURITY,
        doc_prefix="/docs",
        doc_url="/openapi.json",
        validation_error_status=422,
        validation_error_model=ProblemReply,
        validation_error_callback=answer_query,
    )
    app.openapi_version = "3.1.0"
    app.json = Json(app)
    app.add_url_rule("/openapi.json", "contract", lambda: app.api_doc)
    app.add_url_rule("/docs", "docs", lambda: redirect("/docs/swagger"))
    return app


def blueprint(name: str, description: str, public: bool = False) -> APIBlueprint:
    """The blueprint of one resource."""
    return APIBlueprint(
        name,
        __name__,
        abp_tags=[Tag(name=name, description=description)],
        abp_security=[] if public else [{"key": []}],
        operation_id_callback=lambda *, name, path, method: name,
    )


def answers(status: int, model: type[BaseModel], *problems: int) -> Any:
    """The answers of an operation: one that it is for, and its problems."""
    refused = {code: _problem(code) for code in sorted({401, 503, *problems})}
    return {status: model, **refused}


def _problem(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ProblemReply"}
    return {"description": PROBLEMS[status], "content": {"application/problem+json": {"schema": schema}}}


def definition_body() -> dict[str, Any]:
    """The body of a POST of a job, for the contract only: it is read by `models/admission.py`."""
    return JobDefinition.model_json_schema(ref_template="#/components/schemas/{model}")


__all__ = ["Query", "ValidationError", "answers", "blueprint", "create_openapi_app", "definition_body"]
