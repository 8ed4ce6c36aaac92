"""`/v1/datasets`: what there is to train on."""

from typing import Any

from flask import Response, jsonify
from pydantic import BaseModel

from models import catalogue
from models.errors import NotFound
from service.openapi import Query, answers, blueprint
from service.replies import DatasetReply, DatasetsReply

api = blueprint("datasets", "Data to train on; for now those that are built in.")


class DatasetPath(BaseModel):
    name: str


@api.get("/v1/datasets", summary="All data sets", responses=answers(200, DatasetsReply, 422))
def list_datasets(query: Query) -> Response:
    return jsonify(items=[_show(dataset) for dataset in catalogue.datasets()], next=None)


@api.get("/v1/datasets/<name>", summary="One data set", responses=answers(200, DatasetReply, 404, 422))
def get_dataset(path: DatasetPath, query: Query) -> Response:
    found = [dataset for dataset in catalogue.datasets() if dataset.name == path.name]
    if not found:
        raise NotFound(f"There is no data set {path.name[:100]!r}.")
    return jsonify(_show(found[0]))


def _show(dataset: catalogue.Dataset) -> dict[str, Any]:
    shape = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(dataset.shape).items()}
    schema = dataset.parameters.model_json_schema()["properties"] if dataset.parameters.model_fields else {}
    return {"name": dataset.name, "builtin": True, "description": dataset.description, "parameters": schema} | shape
