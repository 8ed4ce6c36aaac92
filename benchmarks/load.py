"""A cheap HTTP client: ready-made bytes over keep-alive connections, so that the load costs less than the answers."""

import itertools
import re
import selectors
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

KEY = "a-key-for-the-benchmarks-0123456789"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of a request, with the key."""
    fields = {"Host": "127.0.0.1", "Authorization": f"Bearer {KEY}"}
    if body:
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def requests_per_second(port: int, requests: Sequence[bytes], status: int, connections: int, seconds: float) -> float:
    """Each connection sends the next request when its answer is complete.

    Raises:
        AssertionError: an answer has another status.
    """
    expected = b"HTTP/1.1 %d" % status
    waiting = itertools.cycle(requests)
    done = 0
    with selectors.DefaultSelector() as selector:
        sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
        for each in sockets:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            each.sendall(next(waiting))
            selector.register(each, selectors.EVENT_READ)
        started = time.perf_counter()
        while (now := time.perf_counter()) < started + seconds:
            for ready, _ in selector.select(0.1):
                connection = ready.fileobj
                assert isinstance(connection, socket.socket)
                _read_answer(connection, expected)
                connection.sendall(next(waiting))
                done += 1
        for each in sockets:
            each.close()
    return done / (now - started)


def latencies(port: int, requests: Sequence[bytes], status: int, connections: int, seconds: float) -> list[float]:
    """Seconds that each request took, on connections that send one after another.

    Raises:
        AssertionError: an answer has another status.
    """
    expected = b"HTTP/1.1 %d" % status
    waiting = itertools.cycle(requests)
    ends_at = time.perf_counter() + seconds

    def one_after_another(_: int) -> list[float]:
        found = []
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (sent_at := time.perf_counter()) < ends_at:
                connection.sendall(next(waiting))
                _read_answer(connection, expected)
                found.append(time.perf_counter() - sent_at)
        return found

    with ThreadPoolExecutor(connections) as clients:
        return [taken for each in clients.map(one_after_another, range(connections)) for taken in each]


def _read_answer(connection: socket.socket, expected: bytes) -> None:
    answer = connection.recv(1 << 18)
    assert answer.startswith(expected), answer[:500]
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(1 << 18)
    head_ends = answer.index(b"\r\n\r\n") + 4
    length = LENGTH.search(answer, 0, head_ends)
    missing = (int(length[1]) if length else 0) - (len(answer) - head_ends)
    while missing > 0:
        missing -= len(connection.recv(missing))
