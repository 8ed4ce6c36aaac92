"""`/jobs/new`: a definition to begin with, an editor, and what is to be expected of it."""

from typing import Any

from flask import Blueprint, g, render_template, request

from models import queries
from models.errors import NotFound
from models.ids import is_id
from models.keys import Scope
from service.api.jobs import EXAMPLES
from service.auth import require_scope
from service.context import context
from service.dashboard.words import indented
from service.textbook import chapters

FIRST = "digits cnn"
SICK: dict[str, Any] = {
    "name": "deep sigmoid",
    "network": {"family": "dnn", "hidden": [32] * 12, "activation": "sigmoid"},
    "data": {"dataset": "digits"},
    "training": {"epochs": 20},
}
MORE: dict[str, Any] = {
    "digits lstm": {
        "name": "digits lstm",
        "network": {"family": "rnn", "cell": "lstm", "hidden": 32},
        "data": {"dataset": "digits_rows"},
        "training": {"epochs": 10},
    },
    "twelve sigmoid layers, which do not learn": SICK,
}


def add_to(pages: Blueprint) -> None:
    pages.add_url_rule("/jobs/new", "new_job", show_page)


def show_page() -> str:
    """With `?from=` the definition of a job, with `?dataset=` one on that data set.

    Raises:
        NotFound
    """
    require_scope(Scope.READ)
    examples = EXAMPLES | MORE
    return render_template(
        "new_job.html",
        text=indented(_beginning(examples)),
        examples={name: indented(definition) for name, definition in examples.items()},
        chapters=[
            (chapter["title"], [(name, indented(job)) for name, job in chapter["jobs"].items()])
            for chapter in chapters().values()
        ],
    )


def _beginning(examples: dict[str, Any]) -> Any:
    if job_id := request.args.get("from"):
        if not is_id(job_id):
            raise NotFound("There is no such job.")
        with context().database.read() as connection:
            definition: dict[str, Any] = dict(queries.find_job(connection, job_id, g.sees).definition)
        data = {name: value for name, value in definition["data"].items() if name != "uploaded"}
        return definition | {"data": data}
    if dataset := request.args.get("dataset"):
        return {"network": {"family": "dnn", "hidden": [64]}, "data": {"dataset": dataset[:200]}}
    return examples[FIRST]
