"""What can go wrong, each with what to do about it and its exit code."""

from typing import Any

from cli import exits
from cli.texts import plain

START = "Start one with `descent serve`; name another by DESCENT_URL or --url."
MAKE_KEY = "Set DESCENT_API_KEY or pass --key. `descent keys create` makes a key, with one that is admin."


class Failure(Exception):
    """What ends a command; its message is for people."""

    code = exits.REFUSED

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint


class Unreachable(Failure):
    """No answer came."""

    code = exits.UNREACHABLE

    def __init__(self, url: str, reason: object) -> None:
        super().__init__(f"There is no Descent at {url}: {reason}.", START)


class KeyRefused(Failure):
    """The key is missing, or not enough."""

    code = exits.NO_KEY


class Refused(Failure):
    """The service answered with a problem (RFC 9457)."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status, self.problem = status, problem
        lines = [f"{status} {problem.get('code', '')}: {plain(problem.get('detail', ''))}"]
        for item in problem.get("errors", []):
            said = item["detail"] if item["detail"] != problem.get("detail") else ""
            lines.append("  " + " ".join(plain(part) for part in (f"{item['pointer']}:", said, item["hint"]) if part))
        super().__init__("\n".join(lines))
