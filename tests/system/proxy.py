"""Stands between a client and a server, and hears of each connection."""

import socket
import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Proxy(ABC):
    """`with SomeProxy(server_port) as proxy`: listens at `port` meanwhile."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._meet(client)

    @abstractmethod
    def _meet(self, client: socket.socket) -> None:
        """Takes care of a connection, in threads of its own."""

    def _reach(self, timeout: float | None = None) -> socket.socket:
        """A connection to the server, which waits for it no longer than that."""
        return socket.create_connection(("127.0.0.1", self._server_port), timeout)
