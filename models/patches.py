"""JSON Patches (RFC 6902) on definitions."""

from copy import deepcopy
from typing import Annotated, Any, Literal

import jsonpatch
from jsonpointer import JsonPointerException
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError, to_json

from models.admission import problems_of
from models.definitions.base import Several, Strict
from models.errors import InvalidDefinition, Problem
from models.json_body import DEEPEST

MOST_OPERATIONS = 1000
HINTS = {
    "add": "Its parent has to be there; `-` appends to an array.",
    "test": "The definition has another value there.",
}
HINT = "Take the path from `definition` of the job: it is a JSON Pointer such as /training/epochs."
Path = Annotated[str, Field(max_length=2000, pattern=r"^(/[^/]*)*$")]


class Operation(BaseModel):
    """One step of a JSON Patch. Members that its kind does not know are ignored, as RFC 6902 has it."""

    model_config = ConfigDict(strict=True, frozen=True, use_attribute_docstrings=True)

    op: Literal["add", "remove", "replace", "move", "copy", "test"]
    path: Path
    """JSON Pointer into the definition."""
    value: Any = None
    """Of `add`, `replace` and `test`."""
    source: Annotated[Path | None, Field(alias="from")] = None
    """Of `move` and `copy`."""

    @model_validator(mode="after")
    def _complete(self) -> "Operation":
        if self.op in ("add", "replace", "test") and "value" not in self.model_fields_set:
            raise PydanticCustomError("missing_value", "`{op}` needs a `value`", {"op": self.op})
        if self.op in ("move", "copy") and self.source is None:
            raise PydanticCustomError("missing_from", "`{op}` needs `from`", {"op": self.op})
        return self


class PatchBody(Strict):
    """What is to be different."""

    patch: Annotated[Several[Operation], Field(max_length=MOST_OPERATIONS)]
    """RFC 6902, applied to the definition of the job in order; `[]` is the same again."""


def read_patch(value: Any) -> list[dict[str, Any]]:
    """The operations of a body.

    Raises:
        InvalidDefinition
    """
    try:
        body = PatchBody.model_validate(value)
    except ValidationError as error:
        raise InvalidDefinition(problems_of(error, value)) from error
    return [operation.model_dump(by_alias=True, exclude_unset=True) for operation in body.patch]


def patched(definition: dict[str, Any], operations: list[dict[str, Any]], most_bytes: int) -> bytes:
    """A definition, which is not changed, with a patch applied: JSON for `models.admission.admit`.

    Raises:
        InvalidDefinition: with the first operation that does not apply, or makes it larger than `most_bytes`.
    """
    document: Any = deepcopy(definition)
    for index, operation in enumerate(operations):
        pointer = f"/patch/{index}"
        if max(operation["path"].count("/"), (operation.get("from") or "").count("/")) > DEEPEST:
            raise _refused(pointer, "too_deep", f"Its path is more than {DEEPEST} levels deep.", HINT)
        document = _apply(document, operation, pointer)
        # Copies can double it each time.
        if operation["op"] == "copy" and len(_written(document, pointer)) > most_bytes:
            raise _too_large(pointer, most_bytes)
    body = _written(document, "/patch")
    if len(body) > most_bytes:
        raise _too_large("/patch", most_bytes)
    return body


def _apply(document: Any, operation: dict[str, Any], pointer: str) -> Any:
    kind = operation["op"]
    hint = HINTS.get(kind, HINT)
    try:
        return jsonpatch.JsonPatch([operation]).apply(document, in_place=True)
    except jsonpatch.JsonPatchTestFailed:
        detail = f"The test of {operation['path']!r} fails."
        raise _refused(pointer, "test_failed", detail, hint) from None
    except (jsonpatch.JsonPatchException, JsonPointerException, LookupError, TypeError, ValueError) as error:
        detail = f"`{kind}` of {operation['path']!r} does not apply: {str(error)[:200] or type(error).__name__}."
        raise _refused(pointer, "patch_does_not_apply", detail, hint) from error
    except RecursionError:
        raise _too_deep(pointer) from None


def _written(document: Any, pointer: str) -> bytes:
    try:
        return to_json(document)
    except (RecursionError, ValueError):
        raise _too_deep(pointer) from None


def _refused(pointer: str, code: str, detail: str, hint: str) -> InvalidDefinition:
    return InvalidDefinition([Problem(pointer, code, detail, hint)])


def _too_deep(pointer: str) -> InvalidDefinition:
    detail = f"It makes the definition more than {DEEPEST} levels deep."
    return _refused(pointer, "too_deep", detail, "A definition needs no more than six.")


def _too_large(pointer: str, most_bytes: int) -> InvalidDefinition:
    detail = f"It makes the definition larger than {most_bytes:,} bytes, the most allowed (DESCENT_BODY_BYTES)."
    return _refused(pointer, "too_large", detail, "Copy less.")
