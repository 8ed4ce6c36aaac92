"""Stands between a client and PostgreSQL, and once lets a COMMIT through and keeps its reply to itself."""

import socket
import threading
from contextlib import suppress

from tests.system.proxy import Proxy


class CommitProxy(Proxy):
    """`with CommitProxy(port, b"job.succeeded") as proxy`: the first commit of a transaction that says so is lost."""

    def __init__(self, server_port: int, moment: bytes) -> None:
        super().__init__(server_port)
        self._moment = moment
        self._lock = threading.Lock()
        self.dropped = 0

    def _meet(self, client: socket.socket) -> None:
        link = Link(self, client, self._reach())
        for pump in (link.forth, link.back):
            threading.Thread(target=pump, daemon=True).start()

    def is_the_one(self, transaction: bytes) -> bool:
        """Whether the reply to this transaction's commit is to be lost; true once."""
        with self._lock:
            if self.dropped or self._moment not in transaction:
                return False
            self.dropped += 1
            return True


class Link:
    """One connection through the proxy."""

    def __init__(self, proxy: CommitProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._transaction = b""
        self._mute = False

    def forth(self) -> None:
        """From the client to the server; what it has said since the last commit is remembered."""
        while data := _receive(self._client):
            self._transaction += data
            if b"COMMIT" in data:
                self._mute = self._proxy.is_the_one(self._transaction)
                self._transaction = b""
            self._server.sendall(data)
        _close(self._server)

    def back(self) -> None:
        """From the server to the client, unless it is the reply that is lost: then the line is cut."""
        while data := _receive(self._server):
            if self._mute:
                break
            self._client.sendall(data)
        _close(self._client)
        _close(self._server)


def _receive(end: socket.socket) -> bytes:
    try:
        return end.recv(65536)
    except OSError:
        return b""


def _close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
