"""Where the service is, and the key to it."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click

LOOPBACK = ("localhost", "127.0.0.1", "::1")
KEY_FILE = "api-key"
"""In the data folder, where a service that was given no key keeps the one that it made."""


@dataclass(frozen=True)
class Place:
    url: str
    key: str | None
    found: str
    """Where the key is from."""


def place_of(url: str | None, key: str | None) -> Place:
    """From options, else from the environment, else the service of this machine as `descent serve` starts it."""
    port = os.environ.get("DESCENT_PORT") or "8700"
    chosen = (url or os.environ.get("DESCENT_URL") or f"http://127.0.0.1:{port}").rstrip("/")
    host = _host(chosen)
    file = Path(os.environ.get("DESCENT_DATA") or "var") / KEY_FILE
    keys = {"--key": key, "DESCENT_API_KEY": os.environ.get("DESCENT_API_KEY")}
    if host in LOOPBACK:
        # It is the key of this machine's service, and never sent to another.
        keys[str(file)] = _read(file)
    found = next((name for name, text in keys.items() if text), "")
    chosen_key = keys.get(found) or None
    if chosen_key and not (chosen_key.isascii() and chosen_key.isprintable()):
        raise click.UsageError(f"The API key of {found} has characters that no key has.")
    return Place(chosen, chosen_key, found)


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.scheme in ("http", "https") and parts.port != 0 else None
    except ValueError:
        host = None
    if not host:
        raise click.UsageError(f"{url!r} is no URL such as http://127.0.0.1:8700 (--url, DESCENT_URL).")
    return host


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
