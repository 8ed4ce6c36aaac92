"""What holds for every call, added to the description of each: headers, versions, answers without a body."""

import json
from collections.abc import Iterator
from typing import Any, get_args

from models.definitions.callback import EventName
from models.outbox import PING
from service.enumerations import name_enumerations
from service.examples import add_examples

HEADERS: dict[str, tuple[str, str]] = {
    "X-Request-Id": ("string", "Of this request: as it was sent, or made here. The log names it."),
    "Retry-After": ("integer", "Seconds after which to ask again."),
    "Location": ("string", "Of what was made."),
    "ETag": ("string", "Of this version, for `If-None-Match` and `If-Match`."),
    "Descent-Verdict": ("string", "Of the job: `healthy`, `warning`, `unhealthy` or `unknown`."),
    "RateLimit-Limit": ("integer", "Requests that the key may send in a minute."),
    "RateLimit-Remaining": ("integer", "Of these, those that are left in this minute."),
    "RateLimit-Reset": ("integer", "Seconds until the next minute."),
    "Deprecation": ("string", "Since when the call is deprecated: `@` and Unix seconds (RFC 9745)."),
    "Sunset": ("string", "From when on it may be gone (RFC 8594)."),
}
REQUEST_ID = {
    "name": "X-Request-Id",
    "in": "header",
    "description": "A name for the request: at most 100 letters, digits, `.`, `_` and `-`. Else one is made.",
    "schema": {"type": "string"},
}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "ETag of the version that is known: the answer is 304 as long as it is that one.",
    "schema": {"type": "string"},
}
NOT_MODIFIED = {304: {"description": "It is the version that `If-None-Match` names"}}
OTHER_FORMS = {
    "list_events": (
        "text/event-stream",
        'id: 41\nevent: job.started\ndata: {"id": 41, "type": "job.started", ...}\n\n',
    ),
    "get_gradients": ("text/csv", "step,hidden.0.weight\n0,0.0123\n"),
}
"""What `Accept` may ask for instead of JSON, by operation, with an example."""
OF_SERVER = {
    "414": "The URL has more than 65 534 bytes. Without a body: the server refuses it before anything reads it.",
    "431": "There are more than 100 headers, or they are too large. Without a body.",
}
SAYS_WHEN = {"429", "503"}
UNIONS = {"anyOf", "oneOf"}
SAYS_VERDICT = {("predict", "200"), ("predict", "202")}
SIGNED = {
    "webhook-id": "Of the message; the same at each attempt.",
    "webhook-timestamp": "Of the attempt, in Unix seconds.",
    "webhook-signature": "By Standard Webhooks: `v1,` and Base64; two with a space between while a secret changes.",
}
TAKEN = {
    "2XX": "It was taken.",
    "410": "Nothing more is wanted; the webhook is disabled.",
    "default": "It was not taken, and comes again; as late as `Retry-After` asks.",
}
"""What is read in the answers of receivers."""


def completed(contract: dict[str, Any]) -> dict[str, Any]:
    """The contract with all of that; changed in place."""
    components = contract["components"]
    components["headers"] = {name: _header(*said) for name, said in HEADERS.items()}
    components["parameters"] = {"RequestId": REQUEST_ID, "IfNoneMatch": IF_NONE_MATCH}
    _tell_defaults(components["schemas"])
    name_enumerations(contract)
    contract["webhooks"] = _webhooks()
    for operation in _operations(contract):
        _complete(operation)
    add_examples(contract)
    return contract


def _complete(operation: dict[str, Any]) -> None:
    answers: dict[str, Any] = operation["responses"]
    if operation["operationId"] in OTHER_FORMS:
        form, example = OTHER_FORMS[operation["operationId"]]
        answers["200"]["content"][form] = {"schema": {"type": "string"}, "example": example}
    if "application/json" in answers.get("422", {}).get("content", {}):
        del answers["422"]  # the OpenAPI library's own, of a call that takes nothing
    parameters = operation.setdefault("parameters", [])
    parameters.append({"$ref": "#/components/parameters/RequestId"})
    if "304" in answers:
        parameters.append({"$ref": "#/components/parameters/IfNoneMatch"})
    for status, answer in answers.items():
        headers = answer.setdefault("headers", {})
        for name in _headers_of(operation, status):
            headers.setdefault(name, {"$ref": f"#/components/headers/{name}"})
    answers |= {status: {"description": said} for status, said in OF_SERVER.items()}


def _tell_defaults(schemas: dict[str, Any]) -> None:
    """In words, where one of several objects is the default: generators of clients give up on the whole model."""
    for schema in schemas.values():
        for field in schema.get("properties", {}).values():
            if isinstance(field.get("default"), dict) and field.keys() & UNIONS:
                field["description"] += f" Default: `{json.dumps(field.pop('default'))}`."


def _webhooks() -> dict[str, Any]:
    """The calls to receivers."""
    told = {"type": {"enum": list(get_args(EventName))}, "data": {"$ref": "#/components/schemas/JobReply"}}
    test = {"type": {"const": PING}, "data": {"type": "object", "properties": {"webhook": {"type": "string"}}}}
    return {
        "job": _message("Something happened to a job", told),
        "ping": _message("A test call", test),
    }


def _message(summary: str, properties: dict[str, Any]) -> dict[str, Any]:
    """A call to a receiver."""
    body = {
        "type": properties["type"],
        "timestamp": {"type": "string", "format": "date-time"},
        "data": properties["data"],
    }
    schema = {"type": "object", "properties": body, "required": list(body)}
    headers = [
        {"name": name, "in": "header", "required": True, "description": said, "schema": {"type": "string"}}
        for name, said in SIGNED.items()
    ]
    answers = {status: {"description": said} for status, said in TAKEN.items()}
    content = {"application/json": {"schema": schema}}
    call = {"summary": summary, "parameters": headers, "requestBody": {"required": True, "content": content}}
    return {"post": call | {"responses": answers}}


def _operations(contract: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for calls in contract["paths"].values():
        yield from calls.values()


def _headers_of(operation: dict[str, Any], status: str) -> Iterator[str]:
    answers = operation["responses"]
    yield "X-Request-Id"
    if operation.get("security") and (status.startswith("2") or status == "429"):
        yield from ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
    if operation.get("deprecated"):
        yield from ("Deprecation", "Sunset")
    if (operation["operationId"], status) in SAYS_VERDICT:
        yield "Descent-Verdict"
    if status in SAYS_WHEN:
        yield "Retry-After"
    if status in ("200", "304") and "304" in answers:
        yield "ETag"
        yield "Retry-After"
    makes_something = "201" in answers or {"200", "202"} <= answers.keys()
    if status in ("200", "201", "202") and makes_something:
        yield "Location"


def _header(kind: str, description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}
