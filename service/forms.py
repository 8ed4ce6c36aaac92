"""In which form to answer."""

from flask import request
from werkzeug.exceptions import NotAcceptable


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
