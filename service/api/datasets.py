"""`/v1/datasets`: what there is to train on, and uploading more."""

from typing import Any, Literal

from flask import Response, g, jsonify, request
from pydantic import ValidationError
from werkzeug.exceptions import UnsupportedMediaType

from models import catalogue, datasets
from models.admission import problems_of
from models.corrections import Corrections, corrected
from models.definitions.uploaded import Kind, Task, Uploaded
from models.errors import InvalidDataset, NotFound, Problem
from models.ids import is_id, new_id
from models.ingest.options import Options
from models.json_body import parse
from models.sources import allowed
from models.storage import Stored
from models.uploads import is_upload
from service.api.jobs import Text
from service.bodies import json_bytes, read_body
from service.context import context
from service.cursors import decode_cursor, encode_cursor, wrong_cursor
from service.datasets import read_options, refuse_nul, show_builtin, show_upload
from service.errors import problem
from service.openapi import Page, Parts, Query, answers, blueprint, merge_request
from service.receiving import Receiver, fetch, repeated
from service.replies import DatasetReply, DatasetsReply, PreviewReply
from service.room import require_room
from service.upload_request import upload_parameters, upload_request

api = blueprint("datasets", "Data to train on: those that are built in, and your own.")


class DatasetPath(Parts):
    name: str
    """Name of a built-in one, or id of an uploaded one."""

    @property
    def id(self) -> str:
        """Of an uploaded one.

        Raises:
            NotFound
        """
        if self.name in catalogue.names():
            detail = f"{self.name} is built in: it has no preview, and can be neither changed nor deleted. "
            raise NotFound(f"{detail}GET /v1/datasets/{self.name} describes it; POST /v1/datasets takes your own.")
        if not is_id(self.name):
            raise NotFound(f"There is no uploaded data set {self.name[:100]!r}.")
        return self.name


class ListQuery(Page):
    """All conditions hold at once."""

    builtin: Literal["true", "false"] | None = None
    """Only those that are built in, or only your own."""
    status: Literal["ingesting", "ready", "failed"] | None = None
    """Whether it can be trained on."""
    kind: Kind | None = None
    """Of its rows."""
    task: Task | None = None
    """What its target is for."""
    name: Text | None = None
    """Just this one."""


@api.post(
    "/v1/datasets",
    summary="Upload a data set",
    request_body=upload_request(),
    openapi_extensions={"parameters": upload_parameters()},
    responses=answers(201, DatasetReply, 400, 413, 415, 422) | {200: DatasetReply, 202: DatasetReply},
)
def upload_dataset() -> Response:
    """A CSV, a Parquet file, an NPZ of `x` and `y`, or a zip of images with a top folder for each class. As a form with
    the file in `file` and options beside it, or as the raw body with the options in the query. The answer shows what
    was made of it: columns, kinds, what is missing, classes, shapes, and warnings; `PATCH` corrects it.

    201 once it can be trained on. 202 with `status: ingesting` for what takes longer to read: then GET says when. The
    same bytes with the same options are stored once: 200, and the data set that is there already."""
    shared = context()
    require_room(g.owner)
    dataset_id = new_id("dat")
    stored, fields, filename = _receive(dataset_id)
    is_registered = False
    try:
        name = fields.pop("name", filename)
        refuse_nul(fields | {"name": name})
        options, name = read_options(fields), _name(name)
        with shared.database.write() as connection:
            known, is_new = datasets.register(connection, dataset_id, g.owner, name, options, stored)
        is_registered = is_new
    finally:
        if not is_registered:
            shared.storage.delete(stored.key)
    problems = shared.ingests.read(known, shared.settings.ingest_wait_seconds) if is_new else []
    if problems:
        raise InvalidDataset([Problem(**item) for item in problems])
    return _answer(known, 200 if not is_new else 202 if problems is None else 201)


def _receive(dataset_id: str) -> tuple[Stored, dict[str, Any], str]:
    """The bytes, in storage; the fields that came with them; the name of the file."""
    shared, key = context(), f"uploads/{dataset_id}"
    if request.is_json:
        return _fetch(key)
    receiver = Receiver(request, shared.settings.upload_bytes)
    fields: dict[str, Any] = request.args.to_dict()
    for name in request.args:
        if len(request.args.getlist(name)) > 1:
            raise repeated(name)
    if request.mimetype == "multipart/form-data":
        boundary = request.mimetype_params.get("boundary", "")
        stored = receiver.form(shared.storage, key, boundary)
        if twice := fields.keys() & receiver.fields:
            shared.storage.delete(key)
            raise repeated(min(twice))
        return stored, fields | receiver.fields, receiver.filename
    if request.mimetype == "application/x-www-form-urlencoded":
        raise UnsupportedMediaType("Send the file as it is (Content-Type: application/octet-stream), or a form.")
    return receiver.raw(shared.storage, key), fields, ""


def _fetch(key: str) -> tuple[Stored, dict[str, Any], str]:
    """The same of an object that the body names; its options beside it."""
    for name in request.args:
        detail = f"`{name[:100]}` is in the query, and the body is JSON."
        raise InvalidDataset.at(f"/{name}", "misplaced_option", detail, "Write options into the body, beside `url`.")
    shared, body = context(), parse(json_bytes())
    url = body.pop("url", None) if isinstance(body, dict) else None
    if not isinstance(url, str):
        detail = 'A body of JSON names its source: {"url": "s3://bucket/rows.csv"}.'
        raise InvalidDataset.at("/url", "missing", detail, "Or send the file itself.")
    # Wrong ones are refused before anything is fetched.
    read_options({name: value for name, value in body.items() if name != "name"})
    stored = fetch(allowed(url, shared.settings), shared.storage, key, shared.settings.upload_bytes)
    return stored, body, url.rsplit("/", 1)[-1][:200]


def _name(text: Any) -> str:
    """Checked as that of a job is."""
    try:
        return Corrections.model_validate({"name": text}).name
    except ValidationError as error:
        raise InvalidDataset(problems_of(error, {"name": text})) from error


@api.get("/v1/datasets", summary="All data sets, your own first", responses=answers(200, DatasetsReply, 422))
def list_datasets(query: ListQuery) -> Response:
    """Newest first; those that are built in come last."""
    place = decode_cursor(query.after) or ""
    builtin_from = int(place) if place.isdecimal() and len(place) < 6 else 0
    if place and not is_id(place) and not place.isdecimal():
        raise wrong_cursor()
    found: list[tuple[str, dict[str, Any]]] = []
    if query.builtin != "true" and not place.isdecimal():
        wanted = {"status": query.status, "kind": query.kind, "task": query.task, "name": query.name}
        with context().database.read() as connection:
            rows = datasets.list_datasets(connection, g.sees, place or None, query.limit + 1, **wanted)
        found += [(row.id, show_upload(row)) for row in rows]
    if query.builtin != "false" and len(found) <= query.limit:
        shown = map(show_builtin, catalogue.datasets())
        found += [
            (str(index + 1), item) for index, item in enumerate(shown) if index >= builtin_from and _is(query, item)
        ]
    more = len(found) > query.limit
    page = found[: query.limit]
    return jsonify(items=[item for _, item in page], next=encode_cursor(page[-1][0]) if more else None)


def _is(query: ListQuery, shown: dict[str, Any]) -> bool:
    wanted = query.model_dump(include={"status", "kind", "task", "name"}, exclude_none=True)
    return all(shown[name] == value for name, value in wanted.items())


@api.get("/v1/datasets/<name>", summary="One data set", responses=answers(200, DatasetReply, 404, 422))
def get_dataset(path: DatasetPath, query: Query) -> Response:
    """Of an uploaded one with the statistics of each column: of numbers `min max mean std median` and a histogram, of
    categories how many rows have each. `missing` values are taken for `fill`, the median; those of a category are one
    more category."""
    if is_upload(path.name):
        return _answer(path.id, 200)
    found = [dataset for dataset in catalogue.datasets() if dataset.name == path.name]
    if not found:
        raise NotFound(f"There is no data set {path.name[:100]!r}.")
    return jsonify(show_builtin(found[0]))


@api.get("/v1/datasets/<name>/preview", summary="Its first rows", responses=answers(200, PreviewReply, 404, 409, 422))
def preview_dataset(path: DatasetPath, query: Query) -> Response:
    """As they were uploaded; at most 20, fewer of wide ones. Of an NPZ or of images the first values of `x` and `y`."""
    with context().database.read() as connection:
        row = datasets.find(connection, path.id, g.sees)
    if row.status != datasets.READY:
        return problem(409, "dataset_not_ready", f"The data set is {row.status}; its rows are not known.")
    return jsonify(row.summary["preview"])


@api.patch(
    "/v1/datasets/<name>",
    summary="Correct what was guessed",
    request_body=merge_request(Corrections, {"target": {"target": "price"}, "kinds": {"kinds": {"rooms": "category"}}}),
    responses=answers(200, DatasetReply, 400, 404, 409, 413, 415, 422),
)
def correct_dataset(path: DatasetPath, query: Query) -> Response:
    """Its name, and target, features, task and kinds of a table. Jobs that were accepted before keep what they have."""
    wanted = read_body(Corrections)
    with context().database.write() as connection:
        row = datasets.find(connection, path.id, g.sees)
        if row.status != datasets.READY:
            return problem(
                409, "dataset_not_ready", f"The data set is {row.status}; it can be corrected once it is ready."
            )
        known, options = Uploaded.model_validate(row.uploaded), Options.model_validate(row.options)
        uploaded, options = corrected(known, options, wanted)
        name = wanted.name if "name" in wanted.model_fields_set else row.name
        datasets.correct(connection, row, name, options, uploaded)
    return _answer(path.id, 200)


@api.delete("/v1/datasets/<name>", summary="Delete a data set", responses=answers(204, None, 404, 409, 422))
def delete_dataset(path: DatasetPath, query: Query) -> Response:
    """With all its bytes. One that a job uses stays as long as the job does: 409."""
    shared = context()
    with shared.database.write() as connection:
        datasets.remove(connection, path.id, g.sees)
    shared.ingests.remove_bytes(path.id)
    return Response(status=204)


def _answer(dataset_id: str, status: int) -> Response:
    with context().database.read() as connection:
        row = datasets.find(connection, dataset_id, g.sees)
    reply = jsonify(show_upload(row))
    reply.status_code = status
    if status in (201, 202):
        reply.headers["Location"] = f"/v1/datasets/{dataset_id}"
    if row.status == datasets.INGESTING:
        reply.headers["Retry-After"] = "2"
    return reply
