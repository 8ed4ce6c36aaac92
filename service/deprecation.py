"""How a call goes: it is marked in the contract, and says in each answer from when on it may be gone."""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from flask import Response
from werkzeug.http import http_date

LEAST_DAYS = 180
"""Promised in docs/contract.md."""


@dataclass(frozen=True)
class Deprecated:
    """`@api.get(..., deprecated=Deprecated(since, sunset, "GET /v2/..."))`"""

    since: date
    sunset: date
    """It is served at least until then."""
    instead: str
    """What takes its place, for people."""

    def __post_init__(self) -> None:
        if (self.sunset - self.since).days < LEAST_DAYS:
            raise ValueError(f"From {self.since} to {self.sunset} it is less than {LEAST_DAYS} days.")

    def __str__(self) -> str:
        return f"Deprecated since {self.since}, and gone after {self.sunset}. Instead: {self.instead}."

    def tell(self, reply: Response) -> Response:
        """An answer, with the headers of RFC 9745 and RFC 8594."""
        reply.headers["Deprecation"] = f"@{int(_midnight(self.since).timestamp())}"
        reply.headers["Sunset"] = http_date(_midnight(self.sunset))
        reply.headers.add("Link", '</docs>; rel="deprecation"; type="text/html"')
        return reply


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
