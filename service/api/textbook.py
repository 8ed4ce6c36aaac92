"""`/v1/textbook`: ready definitions, each pair with the claim it shows."""

from flask import Response, jsonify

from models.errors import NotFound
from service.openapi import Parts, Query, answers, blueprint
from service.replies import ChapterReply, TextbookReply
from service.textbook import chapters

api = blueprint("textbook", "Why networks fail to learn, and what cured it: jobs that show it.")


class ChapterPath(Parts):
    name: str
    """As in the list."""


@api.get("/v1/textbook", summary="All claims", responses=answers(200, TextbookReply, 422))
def list_textbook(query: Query) -> Response:
    """In the order in which they are told, each with jobs that show it."""
    return jsonify(items=list(chapters().values()), next=None)


@api.get("/v1/textbook/<name>", summary="One claim and its jobs", responses=answers(200, ChapterReply, 404, 422))
def get_chapter(path: ChapterPath, query: Query) -> Response:
    """The definitions in `jobs` can be posted as they are."""
    found = chapters().get(path.name)
    if found is None:
        raise NotFound(f"There is no claim {path.name[:100]!r} in the textbook.")
    return jsonify(found)
