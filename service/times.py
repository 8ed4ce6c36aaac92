"""Times as the contract writes them."""

import re
from datetime import UTC, datetime

TIME_FORM = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+ -]\d\d:\d\d)", re.ASCII)


def rfc3339(seconds: float | None) -> str | None:
    """Unix seconds as RFC 3339 in UTC, to the millisecond."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"


def seconds_of(text: str) -> float:
    """Unix seconds of a time as RFC 3339.

    Raises:
        ValueError
    """
    # A plus in a URL is a space.
    if not TIME_FORM.fullmatch(text):
        raise ValueError("It should be a time by RFC 3339, such as 2026-01-31T12:00:00Z.")
    return datetime.fromisoformat(text.upper().replace(" ", "+")).timestamp()
