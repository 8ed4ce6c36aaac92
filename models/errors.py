"""What can go wrong, as one small family. The docstrings are the messages; `service/errors.py` maps them to HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

MOST_OF_A_POINTER, MOST_OF_A_TEXT = 300, 1000


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a definition, and where."""

    pointer: str
    """JSON Pointer (RFC 6901) into the body that was sent; "" is the whole."""
    code: str
    detail: str
    hint: str

    def plain(self) -> dict[str, Any]:
        """In JSON types. A pointer may go through a name of a megabyte, and stand in a hundred problems: it is cut."""
        texts = {"pointer": self.pointer, "code": self.code, "detail": self.detail, "hint": self.hint}
        return {
            name: _cut(text, MOST_OF_A_POINTER if name == "pointer" else MOST_OF_A_TEXT) for name, text in texts.items()
        }


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


class DescentError(Exception):
    """Something went wrong in Descent."""

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or (type(self).__doc__ or "").strip())


class NotJson(DescentError):
    """The body is not JSON."""


class InvalidDefinition(DescentError):
    """The definition was understood, but it is wrong."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        count = len(problems)
        super().__init__(
            problems[0].detail if count == 1 else f"{count} things are wrong with it; `errors` lists them."
        )
        self.problems = tuple(problems)

    @classmethod
    def at(cls, pointer: str, code: str, detail: str, hint: str) -> Self:
        """With one problem."""
        return cls([Problem(pointer, code, detail, hint)])


class InvalidDataset(InvalidDefinition):
    """The data set was received, but it is wrong."""


class NotFound(DescentError):
    """There is nothing with this id."""


class IllegalMove(DescentError):
    """The job's state does not allow this."""


class OtherVersion(DescentError):
    """It was changed since you read it: `If-Match` says another version. Read it again."""


class KeyReused(DescentError):
    """This Idempotency-Key was sent with another call or another body; a new request needs a new key."""


class InFlight(DescentError):
    """A request with this Idempotency-Key is being answered; ask again when it is."""


class InUse(DescentError):
    """Something else needs it."""


class NoRemedy(DescentError):
    """No finding of the job has a remedy."""


class ModelPending(DescentError):
    """The job has succeeded; its files are being made."""


class NoModel(DescentError):
    """The job has no model."""


class UnhealthyModel(DescentError):
    """The diagnosis of the job says that its network has not learned."""


class QueueFull(DescentError):
    """Too many jobs are waiting."""


class TooManyWebhooks(DescentError):
    """An owner has as many webhooks as are allowed."""


class OverBudget(DescentError):
    """A limit of the owner is reached."""

    def __init__(self, detail: str, seconds: int) -> None:
        super().__init__(detail)
        self.seconds = seconds
        """After which to ask again."""


class DiskFull(DescentError):
    """The disk has no room for another job."""
