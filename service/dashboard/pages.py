"""The pages of the dashboard, put together: one module for each, and what they share."""

from typing import Any

from flask import Blueprint, Flask, g, request

from models.keys import Scope
from service.context import context
from service.dashboard import assets, compare, datasets, job, jobs, keys, new_job, refused, sign_in, words, workers
from service.dashboard.compressed import compress

PLACES = {"/": "Jobs", "/jobs/new": "New job", "/datasets": "Data sets", "/workers": "Workers"}
"""What the navigation leads to."""


def add_dashboard(app: Flask) -> None:
    """From now on the app has pages, and answers a browser that asks for one with a page, also where it refuses."""
    pages = Blueprint("dashboard", __name__, template_folder="templates")
    for module in (assets, sign_in, jobs, new_job, job, compare, datasets, workers, keys):
        module.add_to(pages)
    pages.app_context_processor(_shared)
    # Later ones come first: what is refused becomes a page, and that is compressed.
    pages.after_app_request(compress)
    pages.after_app_request(refused.as_page)
    app.jinja_env.filters.update(words.FILTERS)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.register_blueprint(pages)


def _shared() -> dict[str, Any]:
    """What every template may use."""
    caller = g.get("caller")
    scopes = caller.scopes if caller else frozenset()
    places = PLACES | ({"/keys": "Keys"} if Scope.ADMIN in scopes else {})
    return {
        "asset": assets.url_of,
        "token": context().sessions.token(g.session) if "session" in g else "",
        "signed_in": caller is not None,
        "may_write": Scope.WRITE in scopes,
        "places": places,
        "here": request.path,
    }
