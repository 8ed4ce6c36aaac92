"""Data sets as the API shows them, and the options of an upload as it receives them."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Row

from models import catalogue
from models.admission import problems_of
from models.chosen_columns import chosen_columns
from models.definitions.data import Data
from models.definitions.uploaded import Uploaded
from models.errors import InvalidDataset, InvalidDefinition, Problem
from models.ingest.options import Options
from service.problems import typed
from service.times import rfc3339

AS_JSON = {"features", "kinds", "header", "length", "horizon", "stride", "vocabulary", "image_size"}
"""Fields that are no text; in a form or a query they are written as JSON."""
NOT_YET: dict[str, Any] = {
    "kind": None,
    "task": None,
    "rows": None,
    "input_shape": None,
    "outputs": None,
    "classes": [],
    "per_step": False,
    "vocabulary": 0,
}


def refuse_nul(fields: Mapping[str, Any]) -> None:
    """A NUL is in no text: PostgreSQL holds none.

    Raises:
        InvalidDataset
    """
    for name, value in fields.items():
        if "\0" in name or (isinstance(value, str) and "\0" in value):
            pointer = "" if "\0" in name else f"/{name}"
            raise InvalidDataset.at(pointer, "nul", "A field has a NUL character.", "Leave it out.")


def read_options(fields: Mapping[str, Any]) -> Options:
    """The options in the fields of an upload.

    Raises:
        InvalidDataset: with all that is wrong with them.
    """
    values, problems = {}, []
    for name, text in fields.items():
        try:
            values[name] = _value(name, text) if isinstance(text, str) else text
        except ValueError:
            detail = f"`{name}` should be JSON, and is {text[:100]!r}."
            problems.append(
                Problem(f"/{name}", "not_json", detail, 'For example features=["age","colour"], length=24.')
            )
    if problems:
        raise InvalidDataset(problems)
    try:
        return Options.model_validate(values)
    except ValidationError as error:
        raise InvalidDataset(problems_of(error, values)) from error


def _value(name: str, text: str) -> Any:
    if name == "features" and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",")]
    return json.loads(text) if name in AS_JSON else text


def show_builtin(dataset: catalogue.Dataset) -> dict[str, Any]:
    schema = dataset.parameters.model_json_schema()["properties"] if dataset.parameters.model_fields else {}
    shown = {"id": dataset.name, "name": dataset.name, "builtin": True, "status": "ready"}
    shown |= {"description": dataset.description, "parameters": schema}
    return shown | _plain(vars(dataset.shape))


def show_upload(row: Row[Any]) -> dict[str, Any]:
    """One uploaded data set, from its row."""
    summary = row.summary or {}
    shown = {
        "id": row.id,
        "name": row.name,
        "builtin": False,
        "status": row.status,
        "description": "",
        "parameters": {},
        "format": row.format or None,
        "size": row.size,
        "sha256": row.sha256,
        "warnings": summary.get("warnings", []),
        "error": typed(row.error),
        "created_at": rfc3339(row.created_at),
        "ready_at": rfc3339(row.ready_at),
        "links": {"self": f"/v1/datasets/{row.id}", "preview": f"/v1/datasets/{row.id}/preview"},
    }
    if row.uploaded is None:
        return shown | NOT_YET
    known = Uploaded.model_validate(row.uploaded)
    return shown | _shape(known) | _columns(known, summary)


def _shape(known: Uploaded) -> dict[str, Any]:
    """As a network would see it."""
    try:
        shape = catalogue.shape_of_upload(chosen_columns(known, Data(dataset="dat_")))
    except InvalidDefinition:
        # A table without a target: it is not known yet.
        return NOT_YET | {"kind": known.kind, "rows": known.rows}
    return _plain(vars(shape))


def _columns(known: Uploaded, summary: Mapping[str, Any]) -> dict[str, Any]:
    statistics = {said["name"]: said for said in summary.get("columns", [])}
    if known.columns is None:
        return {"columns": list(statistics.values())}
    columns = [
        {"kind": column.kind, "distinct": column.distinct or None, "fill": column.fill} | statistics[column.name]
        for column in known.columns.columns
    ]
    parts = {name: getattr(known.columns, name) for name in ("target", "group", "time")}
    return parts | {
        "features": list(known.columns.features),
        "window": known.window and known.window.plain(),
        "columns": columns,
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
