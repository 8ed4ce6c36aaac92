"""`/datasets`: what there is to train on, and uploading more; `/datasets/{name}`: its columns and first rows."""

from typing import Any

from flask import Blueprint, g, render_template, request

from models import catalogue, datasets
from models.errors import NotFound
from models.ids import is_id
from models.keys import Scope
from models.uploads import is_upload
from service.auth import require_scope
from service.context import context
from service.cursors import decode_id, encode_cursor
from service.dashboard.bars import bars_of
from service.datasets import show_builtin, show_upload

PAGE = 50


def add_to(pages: Blueprint) -> None:
    pages.add_url_rule("/datasets", "datasets", show_list)
    pages.add_url_rule("/datasets/<name>", "dataset", show_one)


def show_list() -> str:
    """
    Raises:
        InvalidDefinition
    """
    require_scope(Scope.READ)
    place = decode_id(request.args.get("after"))
    with context().database.read() as connection:
        rows = datasets.list_datasets(connection, g.sees, place, PAGE + 1)
    following = encode_cursor(rows[PAGE - 1].id) if len(rows) > PAGE else None
    builtin = [show_builtin(dataset) for dataset in catalogue.datasets()]
    return render_template(
        "datasets.html", mine=[show_upload(row) for row in rows[:PAGE]], builtin=builtin, following=following
    )


def show_one(name: str) -> str:
    """
    Raises:
        NotFound
    """
    require_scope(Scope.READ)
    shown, preview = _uploaded(name) if is_upload(name) and is_id(name) else (_builtin(name), None)
    histograms = {column["name"]: bars_of(column) for column in shown.get("columns", [])}
    return render_template("dataset.html", dataset=shown, preview=preview, histograms=histograms)


def _uploaded(dataset_id: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    with context().database.read() as connection:
        row = datasets.find(connection, dataset_id, g.sees)
    return show_upload(row), row.summary["preview"] if row.status == datasets.READY else None


def _builtin(name: str) -> dict[str, Any]:
    found = [dataset for dataset in catalogue.datasets() if dataset.name == name]
    if not found:
        raise NotFound(f"There is no data set {name[:100]!r}.")
    return show_builtin(found[0])
