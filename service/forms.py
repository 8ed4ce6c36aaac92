"""In which form to answer."""

from flask import request
from werkzeug.exceptions import NotAcceptable

OCTETS = "application/octet-stream"
"""Of bytes the one media type that all generated clients know."""


def accepted(*forms: str) -> str:
    """The one of these media types that `Accept` prefers; the first where it does not care, or is not there.

    Raises:
        NotAcceptable
    """
    wanted = request.accept_mimetypes
    form = wanted.best_match(forms) if wanted else forms[0]
    if form is None:
        raise NotAcceptable(f"This is served as {' or '.join(forms)}.")
    return form


def or_octets(form: str) -> str:
    """This media type of a file, or plain octets where `Accept` prefers them."""
    return request.accept_mimetypes.best_match((form, OCTETS), default=form)
