"""Stands between a client and the API, and cuts connections: before a request is through, or before its answer is."""

import random
import socket
import threading
from contextlib import suppress

from tests.system.proxy import Proxy

FATES = ("through", "cut before", "cut after")


class FlakyProxy(Proxy):
    """`with FlakyProxy(port, seed) as proxy`: each connection has one of FATES, at random."""

    def __init__(self, server_port: int, seed: int) -> None:
        super().__init__(server_port)
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self.fates: list[str] = []
        self.url = f"http://127.0.0.1:{self.port}"

    def _meet(self, client: socket.socket) -> None:
        threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            fate = self._chance.choice(FATES)
            self.fates.append(fate)
        with client, suppress(OSError):
            client.settimeout(30)
            request = read_message(client)
            if fate == "cut before":
                # Half of it arrives: the API must not take that for a job.
                self._send(request[: len(request) // 2]).close()
                return
            with self._send(request) as server:
                answer = read_message(server)
                if fate == "through":
                    client.sendall(answer)

    def _send(self, data: bytes) -> socket.socket:
        server = self._reach(timeout=30)
        server.sendall(data)
        return server


def read_message(end: socket.socket) -> bytes:
    """One request or answer, whose head names the length of its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(end)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = int(lengths[0]) - len(body) if lengths else 0
    while missing > 0:
        more = _receive(end)
        data, missing = data + more, missing - len(more)
    return data


def _receive(end: socket.socket) -> bytes:
    if data := end.recv(65536):
        return data
    raise ConnectionError("it ended too early")
