"""Refusals as pages: `service/errors.py` says what is wrong, in JSON; a browser that asks for a page is shown the same
for people."""

import json
from urllib.parse import quote

from flask import Response, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

PROBLEM = "application/problem+json"
NO_PAGES = ("/v1/", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics", "/assets/")
RETRIED = (429, 503)
"""A page of these loads itself again."""


def as_page(reply: Response) -> AnyResponse:
    if reply.mimetype != PROBLEM or not _asks_for_a_page():
        return reply
    said = json.loads(reply.get_data())
    if said["status"] == 401 and request.method == "GET":
        return _to_sign_in()
    page = make_response(render_template("refused.html", said=said, retried=said["status"] in RETRIED), said["status"])
    for name in ("Retry-After", "Connection"):
        if name in reply.headers:
            page.headers[name] = reply.headers[name]
    return page


def _asks_for_a_page() -> bool:
    """Browsers would rather have HTML; scripts of a page, and programs, would not."""
    wanted = request.accept_mimetypes
    return wanted["text/html"] > wanted[PROBLEM] and not request.path.startswith(NO_PAGES)


def _to_sign_in() -> AnyResponse:
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        # A link from elsewhere: a strict cookie is not sent along. From a page of ours it is.
        return make_response(render_template("again.html", url=request.full_path.rstrip("?")))
    return redirect(f"/sign-in?next={quote(request.full_path.rstrip('?'), safe='')}", 303)
