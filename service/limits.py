"""The limit of requests a minute, and what each answer says of it."""

from flask import Response, g

from service.context import context
from service.rates import TooManyRequests


def limit_requests() -> None:
    """
    Raises:
        TooManyRequests
    """
    if "caller" not in g:
        return
    g.standing = standing = context().rates.count(g.caller.key)
    if standing.used > standing.limit:
        name = "DESCENT_REQUESTS_PER_MINUTE"
        raise TooManyRequests(f"More than {standing.limit:,} requests in this minute, the most of a key ({name}).")


def show_standing(reply: Response) -> Response:
    """`Retry-After` is of refusals alone (`service/errors.py`)."""
    if standing := g.get("standing"):
        reply.headers["RateLimit-Limit"] = str(standing.limit)
        reply.headers["RateLimit-Remaining"] = str(standing.remaining)
        reply.headers["RateLimit-Reset"] = str(standing.reset_seconds)
    return reply
