"""One POST to the receiver of a webhook, by the rules of `models/addresses.py`. The only module that knows the library.

The name is resolved here, every address is checked, and the connection goes to a checked address itself: a second
answer of the name server (DNS rebinding) is never asked for. `Host`, SNI and the certificate are those of the URL.
"""

import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import replace
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from models.addresses import Refused, Target, require_allowed, require_public, target_of
from models.deliveries import Outcome

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection

CONNECT_SECONDS = 5.0
MOST_ADDRESSES = 3
"""Of a name that are tried: one may be of a network that is not there."""
MOST_OF_AN_ANSWER = 1000
"""Bytes of a body that are read, for the log."""
MOST_OF_A_DETAIL = 300
FAULTS: tuple[tuple[type[Exception], str], ...] = (
    (Refused, "refused_address"),
    (socket.gaierror, "no_address"),
    (ssl.SSLError, "tls"),
    (TimeoutError, "timeout"),
)
"""What an attempt without an answer is called: the first that fits, else `broken`."""


class Deadline:
    """Cuts a connection when its time is over. A limit for each read would let a receiver that sends a byte now and
    then hold it for ever."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._is_over = threading.Event()
        self._connection: HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def watch(self, connection: "HTTPConnection") -> None:
        self._connection = connection
        self.check()

    def hold(self) -> None:
        """It is connected. The connection itself forgets its socket where an answer ends with it."""
        assert self._connection is not None
        self._socket = self._connection.sock

    def check(self) -> None:
        """
        Raises:
            TimeoutError: the time is over; what was read since is no answer.
        """
        if self._is_over.is_set():
            raise TimeoutError(f"It has not answered within {self.seconds:g} seconds.")

    def _cut(self) -> None:
        self._is_over.set()
        held = self._socket
        if held is None and self._connection is not None:
            held = self._connection.sock
        if held is not None:
            with suppress(OSError):
                # By the socket's own method: that of TLS would forget its keys, and read on as if there were none.
                socket.socket.shutdown(held, socket.SHUT_RDWR)

    def __enter__(self) -> "Deadline":
        self._timer.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._timer.cancel()
        if self._connection is not None:
            self._connection.close()
        if isinstance(error, Exception):
            self.check()


def post(url: str, headers: Mapping[str, str], body: bytes, hosts: frozenset[str], seconds: float) -> Outcome:
    """What came of it, within so many seconds once the name is resolved. `hosts` are those that may be private."""
    # Here, for a process that never calls a webhook need not carry it. From the package: a thread that asks for a part
    # while another one is still loading the package waits for it, and it for that thread; Python then fails both.
    from urllib3 import exceptions  # noqa: PLC0415

    began = time.monotonic()
    try:
        outcome = _post(url, headers, body, hosts, seconds)
    except exceptions.NewConnectionError as error:
        outcome = _fault("no_connection", error.__cause__ or error)
    except (Refused, OSError, HTTPException, exceptions.HTTPError, ValueError) as error:
        known = error.__cause__ if isinstance(error.__cause__, TimeoutError) else error
        outcome = _fault(next((code for kind, code in FAULTS if isinstance(known, kind)), "broken"), known)
    return replace(outcome, seconds=round(time.monotonic() - began, 3))


def _fault(code: str, error: BaseException) -> Outcome:
    detail = _without_nul(str(error) or type(error).__name__)
    return Outcome(None, code, detail[:MOST_OF_A_DETAIL], is_final=code == "refused_address")


def _post(url: str, headers: Mapping[str, str], body: bytes, hosts: frozenset[str], seconds: float) -> Outcome:
    target = target_of(url)
    require_allowed(target, hosts)
    addresses = _addresses(target, hosts)
    with Deadline(seconds) as deadline:
        connection = _connected(target, addresses, deadline)
        sent = {**headers, "Host": target.authority, "Accept-Encoding": "identity"}
        connection.request("POST", target.path, body, sent, preload_content=False)
        with closing(connection.getresponse()) as reply:
            deadline.check()
            return _outcome(reply.status, reply.headers, _beginning(reply))


def _addresses(target: Target, hosts: frozenset[str]) -> list[str]:
    """
    Raises:
        Refused: one of them is not public.
        socket.gaierror
    """
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        require_public(target, address, hosts)
    return addresses[:MOST_ADDRESSES]


def _connected(target: Target, addresses: list[str], deadline: Deadline) -> "HTTPConnection":
    """A connection to the first address that takes it."""
    for place, address in enumerate(addresses, 1):
        connection = _connection(target, address, min(deadline.seconds, CONNECT_SECONDS))
        deadline.watch(connection)
        try:
            connection.connect()
            break
        except Exception:
            connection.close()
            if place == len(addresses):
                raise
    deadline.hold()
    connection.timeout = deadline.seconds
    return connection


def _connection(target: Target, address: str, seconds: float) -> "HTTPConnection":
    from urllib3 import connection  # noqa: PLC0415

    if target.scheme == "http":
        return connection.HTTPConnection(address, target.port, timeout=seconds)
    names = {"server_hostname": target.host, "ssl_context": _trust()}
    return connection.HTTPSConnection(address, target.port, timeout=seconds, **names)  # type: ignore[arg-type]


@cache
def _trust() -> ssl.SSLContext:
    """Certificates that this machine trusts."""
    return ssl.create_default_context()


def _beginning(reply: Any) -> str:
    """Of the body; a receiver that does not end it has answered all the same."""
    try:
        read = reply.read(MOST_OF_AN_ANSWER, decode_content=False)
    except Exception:  # whatever it is, the status is here
        return ""
    return _without_nul(bytes(read).decode(errors="replace"))


def _without_nul(text: str) -> str:
    """As PostgreSQL keeps it. What is no HTTP is told of as it is, so that a receiver can have one in an error too."""
    return text.replace("\0", "\ufffd")


def _outcome(status: int, headers: Mapping[str, str], answer: str) -> Outcome:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Outcome(status, answer=answer)
    if status == HTTPStatus.GONE:
        return Outcome(status, "gone", "The receiver wants to hear nothing more.", answer, is_gone=True)
    asked = _retry_after(headers.get("Retry-After", ""))
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return Outcome(status, "redirected", "Redirects are not followed.", answer, retry_after=asked)
    return Outcome(status, "status", f"The receiver answered {status}.", answer, retry_after=asked)


def _retry_after(text: str) -> float | None:
    """Seconds; it may be a date."""
    if text.isdecimal() and text.isascii():
        return float(text[:9])
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return None
