"""A receiver of webhooks: a real server on loopback that answers as a test wants, and remembers what came."""

import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook

Answer = Callable[["Handler"], None]


@dataclass(frozen=True)
class Received:
    """One call."""

    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> Any:
        """What it says, once the library has found its signature right.

        Raises:
            WebhookVerificationError
        """
        return Webhook(secret).verify(self.body, dict(self.headers))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Receiver"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        named = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append(Received(named, body, time.time()))
        answers = self.server.answers
        (answers.pop(0) if answers else status(200))(self)

    def log_message(self, *_: Any) -> None:
        pass


class Receiver(ThreadingHTTPServer):
    """`answers` are those to the next calls; further ones are 200."""

    daemon_threads = True

    def __init__(self, port: int = 0, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.received: list[Received] = []
        self.answers: list[Answer] = []
        self.asked_for: list[str | None] = []
        """Names of hosts in TLS (SNI)."""
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            context.sni_callback = lambda _, name, __: self.asked_for.append(name)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks?team=vision"

    def handle_error(self, *_: Any) -> None:
        """A sender that went away."""

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def status(code: int, **headers: str) -> Answer:
    def answer(handler: Handler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"ok")

    return answer


def slow(seconds: float) -> Answer:
    """Says nothing for so long."""

    def answer(handler: Handler) -> None:
        time.sleep(seconds)
        status(200)(handler)

    return answer


def dripping(handler: Handler) -> None:
    """A header that does not end: each byte comes within any time limit for one."""
    _drip(handler, b"HTTP/1.1 200 OK\r\nX-Slow: ")


def dripping_body(handler: Handler) -> None:
    """Answers, and then does not come to its end."""
    _drip(handler, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")


def _drip(handler: Handler, head: bytes) -> None:
    with suppress(OSError):
        handler.wfile.write(head)
        for _ in range(200):
            handler.wfile.write(b"x")
            time.sleep(0.05)


def endless(handler: Handler) -> None:
    """A body of gigabytes."""
    with suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        while True:
            handler.wfile.write(b"x" * 65536)


def torn(handler: Handler) -> None:
    """Ends the connection without a word."""
    handler.close_connection = True
