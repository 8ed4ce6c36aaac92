"""The one module that knows the OpenAPI library: the app, its blueprints, and what they say of themselves."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, wraps
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from flask import Response, abort, after_this_request, redirect, request
from flask.json.provider import DefaultJSONProvider
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.info import Info
from flask_openapi.models.tag import Tag
from flask_openapi.openapi import OpenAPI
from pydantic import BaseModel, Field, ValidationError
from pydantic.json_schema import JsonSchemaMode
from pydantic_core import to_json

from models.keys import Scope
from service.auth import require_scope
from service.contract import completed
from service.deprecation import Deprecated
from service.errors import answer_query
from service.replies import ProblemReply

PAGE = Path(__file__).parent / "docs"
SECURITY: dict[str, Any] = {"key": {"type": "http", "scheme": "bearer", "description": "An API key, `dsc_...`."}}
DESCRIPTION = (
    "POST a network; get back a trained model, and the numbers that say why it learned or did not. "
    "Every error is an `application/problem+json` with its place and a hint."
)
SCHEMAS = "#/components/schemas/"
BINARY = {"type": "string", "format": "binary"}
PROBLEMS = {
    400: "Not JSON",
    401: "No key, or a wrong one",
    403: "The key's scopes do not allow it, or a page from elsewhere asks for it",
    404: "There is no such thing",
    406: "Not available in the form that Accept asks for",
    409: "The job's state does not allow it",
    412: "It is another version than `If-Match` says",
    413: "The body is too large",
    415: "The body is not of a type that is taken",
    416: "The range lies beyond the end",
    421: "The service does not answer to the name in `Host`",
    422: "Understood, but wrong; all errors at once",
    429: "A limit is reached; see Retry-After",
    503: "The database or the storage is away, or the disk is full; see Retry-After",
}

OF_ALL, OF_KEYS = (421,), (401, 403, 429)
"""Problems of every call, and of those that need a key."""


class Json(DefaultJSONProvider):
    """Pydantic's encoder, which takes a quarter of the time; keys keep their order, what is not finite is null."""

    def dumps(self, obj: Any, **options: Any) -> str:
        return to_json(obj, inf_nan_mode="null").decode()

    def response(self, *args: Any, **values: Any) -> Response:
        text = to_json(self._prepare_response_obj(args, values), inf_nan_mode="null")
        return Response(text + b"\n", mimetype=self.mimetype)


class Header(BaseModel):
    """Base of all models of headers; others than those it has are for other readers."""

    model_config = {"use_attribute_docstrings": True}


class Query(BaseModel):
    """Base of all query models: an unknown parameter is refused by name."""

    model_config = {"extra": "forbid", "use_attribute_docstrings": True}


class Page(Query):
    """Which part of a collection."""

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    """Items of a page at most."""
    after: Annotated[str, Field(max_length=200)] | None = None
    """`next` of the page before."""


class Parts(BaseModel):
    """Base of all models of the parts of a path."""

    model_config = {"use_attribute_docstrings": True}


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

    @cache
    def contract() -> bytes:
        """Written once: as objects it takes several times its bytes."""
        written = to_json(completed(app.api_doc))
        app.spec_json = {}
        return written

    def show_contract() -> Response:
        return Response(contract(), mimetype="application/json")

    app.add_url_rule("/openapi.json", "contract", show_contract)
    app.view_functions["openapi.doc_url"] = show_contract
    app.add_url_rule("/docs", "docs", lambda: redirect("/docs/swagger"))
    # The library's page has a script inside, which the policy of pages (`service/doors.py`) forbids.
    app.config["SWAGGER_HTML_STRING"] = (PAGE / "page.html").read_text()
    script = (PAGE / "start.js").read_text()
    app.add_url_rule("/docs/start.js", "docs_start", lambda: Response(script, mimetype="text/javascript"))
    return app


class Blueprint(APIBlueprint):
    """Routes whose key's scope, `path` and `query` are checked here."""

    public = False
    """Whether it needs no key."""
    scope: Scope | None = None
    """What a key needs; by default `read` for GET, and `write` for the rest."""

    def get(self, rule: str, **options: Any) -> Callable[[Callable[..., Any]], Any]:
        return self._routed("get", rule, **options)

    def post(self, rule: str, **options: Any) -> Callable[[Callable[..., Any]], Any]:
        return self._routed("post", rule, **options)

    def patch(self, rule: str, **options: Any) -> Callable[[Callable[..., Any]], Any]:
        return self._routed("patch", rule, **options)

    def delete(self, rule: str, **options: Any) -> Callable[[Callable[..., Any]], Any]:
        return self._routed("delete", rule, **options)

    def _routed(
        self,
        method: str,
        rule: str,
        scope: Scope | None = None,
        request_body: "Body | None" = None,
        deprecated: Deprecated | None = None,
        responses: dict[int, Any] | None = None,
        **options: Any,
    ) -> Callable[[Callable[..., Any]], Any]:
        needed = None if self.public else scope or self.scope or (Scope.READ if method == "get" else Scope.WRITE)
        options["security"] = [{"key": [str(needed)]}] if needed else []
        always = {code: _problem(code) for code in (OF_ALL + OF_KEYS if needed else OF_ALL)}
        told = always | {status: self._answer(status, answer) for status, answer in (responses or {}).items()}
        options["responses"] = dict(sorted(told.items()))
        if request_body is not None:
            self.components_schemas |= request_body.schemas
            options["request_body"] = {"content": request_body.content, "required": request_body.required}
        route = getattr(super(), method)

        def register(view: Callable[..., Any]) -> Any:
            if deprecated is not None:
                options["deprecated"] = True
                options["description"] = f"{deprecated}\n\n{inspect.getdoc(view)}"
            return route(rule, **options)(checked(view, needed, deprecated))

        return register

    def _answer(self, status: int, answer: type[BaseModel] | dict[str, Any] | None) -> dict[str, Any]:
        """As the contract has it. The library would make the schema of a model anew for each answer, and leave out what
        it does not know."""
        if answer is None or isinstance(answer, dict):
            return answer or {"description": HTTPStatus(status).phrase}
        self.components_schemas |= schemas_of(answer, "serialization")
        content = {"application/json": {"schema": {"$ref": SCHEMAS + answer.__name__}}}
        return {"description": HTTPStatus(status).phrase, "content": content}


def checked(view: Callable[..., Any], scope: Scope | None, deprecated: Deprecated | None = None) -> Callable[..., Any]:
    """A view for callers with this scope, whose `path`, `query` and `header` are what it says they are, or the answer
    is 403 or 422. The OpenAPI library would look each field up in the model's schema at every request."""
    models = get_type_hints(view)
    path, query, header = models.get("path"), models.get("query"), models.get("header")
    names = [field.alias for field in header.model_fields.values()] if header else []

    @wraps(view)
    def check(**parts: str) -> Any:
        if deprecated is not None:
            after_this_request(deprecated.tell)
        if scope is not None:
            require_scope(scope)
        given = {}
        try:
            if path is not None:
                given["path"] = path.model_validate(parts)
            if query is not None:
                given["query"] = query.model_validate(request.args.to_dict())
            if header is not None:
                sent = {name: request.headers[name] for name in names if name in request.headers}
                given["header"] = header.model_validate(sent)
        except ValidationError as error:
            abort(answer_query(error))
        return view(**given)

    check.__delay_validate_request__ = True  # type: ignore[attr-defined]  # the library's word for: it checks by itself
    return check


def blueprint(name: str, description: str, public: bool = False, scope: Scope | None = None) -> Blueprint:
    """The blueprint of one resource."""
    made = Blueprint(
        name,
        __name__,
        abp_tags=[Tag(name=name, description=description)],
        operation_id_callback=lambda *, name, path, method: name,
    )
    made.public, made.scope = public, scope
    return made


def answers(status: int, model: type[BaseModel] | None, *problems: int) -> Any:
    """The answers of an operation: one that it is for, and its problems besides those of every call."""
    return {status: model} | {code: _problem(code) for code in (503, *problems)}


@dataclass(frozen=True)
class Body:
    """What a call takes, for the contract only: media types, and the schemas that these name."""

    content: dict[str, Any]
    schemas: dict[str, Any]
    required: bool = True

    def __or__(self, other: "Body") -> "Body":
        """What takes either."""
        return Body(self.content | other.content, self.schemas | other.schemas, self.required and other.required)


def json_request(model: type[BaseModel], examples: dict[str, Any], required: bool = True) -> Body:
    schemas = schemas_of(model)
    shown = {name: {"summary": name, "value": value} for name, value in examples.items()}
    content = {"schema": {"$ref": SCHEMAS + model.__name__}, "examples": shown}
    return Body({"application/json": content}, schemas, required)


def merge_request(model: type[BaseModel], examples: dict[str, Any]) -> Body:
    """A JSON Merge Patch. The contract tells no defaults of its fields: a generated client would send them, and so
    change what it was to leave as it is."""
    body, schema = json_request(model, examples), schemas_of(model)[model.__name__]
    fields = {
        name: {key: value for key, value in field.items() if key != "default"}
        for name, field in schema["properties"].items()
    }
    return replace(body, schemas=body.schemas | {model.__name__: schema | {"properties": fields}})


def form_request(name: str, schema: dict[str, Any]) -> Body:
    """A form, whose schema has this name."""
    content = {"multipart/form-data": {"schema": {"$ref": SCHEMAS + name}}}
    return Body(content, {name: schema | {"title": name, "additionalProperties": False, "type": "object"}})


BYTES = Body({"application/octet-stream": {"schema": BINARY}}, {})


@cache
def schemas_of(model: type[BaseModel], mode: JsonSchemaMode = "validation") -> dict[str, Any]:
    """The schema of a model and of all that it refers to, by name."""
    schema = model.model_json_schema(ref_template=SCHEMAS + "{model}", mode=mode)
    return {**schema.pop("$defs", {}), model.__name__: schema}


def _problem(status: int) -> dict[str, Any]:
    schema = {"$ref": f"{SCHEMAS}ProblemReply"}
    return {"description": PROBLEMS[status], "content": {"application/problem+json": {"schema": schema}}}
