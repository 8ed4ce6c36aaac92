"""Calls to the service: repeated where an answer is lost, and turned into a failure where it is no good."""

import hashlib
import math
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from cli.failures import MAKE_KEY, Failure, KeyRefused, Refused, Unreachable
from cli.paths import job_path
from cli.place import Place

PATIENCE_SECONDS = 15.0
"""For a service that answers `ask again later`, or lost the connection in the middle of a call."""
CONNECT_SECONDS = 1.0
"""Where nobody listens and nobody has answered before: it may be starting."""
FIRST_DELAY, LONGEST_DELAY = 0.1, 3.0
AGAIN = (409, 429, 503)
"""Statuses that mean `later` where they come with Retry-After."""
CHUNK = 1 << 16

Told = Callable[[str], None]
"""Hears why a call is repeated."""


def quiet(_: str) -> None:
    """Nobody is told."""


class Client:
    """The service at a place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        headers = {"Authorization": f"Bearer {place.key}"} if place.key else {}
        self._http = httpx.Client(base_url=place.url, headers=headers, timeout=httpx.Timeout(90, connect=5))
        self._has_answered = False

    def get(self, path: str, patience: float = PATIENCE_SECONDS, **query: Any) -> Any:
        """The JSON of an answer."""
        given = {name: value for name, value in query.items() if value is not None}
        return self.json(self.ask("GET", path, patience=patience, params=given))

    def json(self, reply: httpx.Response) -> Any:
        """
        Raises:
            Failure: it is none, and so no answer of a Descent.
        """
        try:
            return reply.json()
        except ValueError:
            raise Failure(
                f"What answers at {self._place.url} is no Descent: {reply.status_code} without JSON."
            ) from None

    def every(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """All items of a collection, page by page."""
        after: str | None = None
        while True:
            page = self.get(path, **query, after=after)
            yield from page["items"]
            after = page["next"]
            if after is None:
                return

    def post(self, path: str, content: bytes | None = None, key: str | None = None, **request: Any) -> Any:
        """The JSON of an answer. With an Idempotency-Key, so that it may be sent again when its answer is lost."""
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        if content is not None:
            headers["Content-Type"] = "application/json"
        return self.json(self.ask("POST", path, content=content, headers=headers, **request))

    def ask(
        self,
        method: str,
        path: str,
        *,
        repeatable: bool = True,
        patience: float = PATIENCE_SECONDS,
        told: Told = quiet,
        **request: Any,
    ) -> httpx.Response:
        """An answer that is no refusal. `content` may be a function, which is called anew for each try.

        Raises:
            Refused, KeyRefused, Unreachable
        """
        pauses, make = Pauses(), request.pop("content", None)
        while True:
            content = make() if callable(make) else make
            try:
                reply = self._http.request(method, path, content=content, **request)
            except httpx.TransportError as error:
                wait, why = 0.0, "does not answer"
                if not pauses.fit(self._patience_after(error, repeatable, patience)):
                    raise Unreachable(self._place.url, str(error) or type(error).__name__) from None
            else:
                self._has_answered = True
                wait, why = _later(reply), f"asks for patience ({reply.status_code})"
                if not pauses.fit(patience, wait):
                    return self._checked(reply)
            told(f"The service {why}; trying again ...")
            pauses.take(wait)

    def _patience_after(self, error: httpx.TransportError, repeatable: bool, patience: float) -> float:
        """Seconds; none for what may have been carried out, and must not be twice."""
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return patience if self._has_answered else min(patience, CONNECT_SECONDS)
        return patience if repeatable else 0.0

    def _checked(self, reply: httpx.Response) -> httpx.Response:
        if reply.status_code < 400:
            return reply
        reply.read()
        problem = _problem(reply)
        if reply.status_code == 401:
            known = f"The API key of {self._place.found} is not taken" if self._place.key else "An API key is missing"
            raise KeyRefused(f"{known} (401 from {self._place.url}).", MAKE_KEY)
        if reply.status_code == 403:
            raise KeyRefused(f"403 {problem.get('code', '')}: {problem.get('detail', '')}", MAKE_KEY)
        raise Refused(reply.status_code, problem)

    def save(self, path: str, target: Path, sha256: str | None, told: Callable[[int], None]) -> None:
        """The bytes of an answer as a file, which is there whole or not at all. `told` hears how many came.

        Raises:
            Failure: they are not those of the checksum.
        """
        draft = target.with_name(f".{target.name}.part")
        try:
            with draft.open("wb") as file:
                found = self.read(path, file.write, told)
            if sha256 is not None and found != sha256:
                raise Failure(f"{target.name} came damaged: its sha256 is {found}, and not {sha256}.", "Try again.")
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)

    def read(self, path: str, write: Callable[[bytes], Any], told: Callable[[int], None]) -> str:
        """Gives the sha256 of what was written."""
        digest = hashlib.sha256()
        try:
            with self._http.stream("GET", path) as reply:
                self._checked(reply)
                for chunk in reply.iter_bytes(CHUNK):
                    write(chunk)
                    digest.update(chunk)
                    told(len(chunk))
        except httpx.TransportError as error:
            raise Unreachable(self._place.url, error) from None
        return digest.hexdigest()

    def changes(self, job: str, wait: int, patience: float, told: Told) -> Iterator[dict[str, Any]]:
        """A job whenever it has changed, and every `wait` seconds, until it has ended. A service that is away is waited
        for, `patience` seconds at a time."""
        path, etag = job_path(job), ""
        while True:
            headers = {"If-None-Match": etag} if etag else {}
            params = {"wait": wait} if etag else {}
            reply = self.ask("GET", path, patience=patience, told=told, params=params, headers=headers)
            if reply.status_code == 304:
                etag = ""  # the next answer says how many steps it has come
                continue
            found = self.json(reply)
            yield found
            if found["terminal"]:
                return
            etag = reply.headers["ETag"]
            time.sleep(FIRST_DELAY)


class Pauses:
    """Between the tries of a call, each twice as long as the one before."""

    def __init__(self) -> None:
        self._began, self._next = time.monotonic(), FIRST_DELAY

    def fit(self, patience: float, least: float = 0.0) -> bool:
        """Whether another one ends before the patience does."""
        return time.monotonic() + max(self._next, least) <= self._began + patience

    def take(self, least: float) -> None:
        time.sleep(max(self._next, least))
        self._next = min(2 * self._next, LONGEST_DELAY)


def _later(reply: httpx.Response) -> float:
    """Seconds after which the service wants to be asked again; forever, where it does not."""
    wait = reply.headers.get("Retry-After", "")
    return float(wait) if reply.status_code in AGAIN and wait.isdecimal() else math.inf


def _problem(reply: httpx.Response) -> dict[str, Any]:
    try:
        found = reply.json()
    except ValueError:
        found = None
    is_problem = isinstance(found, dict) and "detail" in found
    return found if is_problem else {"code": "", "detail": f"{reply.reason_phrase or 'no reason'}; is it a Descent?"}
