"""Style sheets, scripts and the icon: read and compressed once; their URL changes with their content, so that a browser
may keep them for ever."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from models.errors import NotFound

FOLDER = Path(__file__).parent / "static"
FOR_EVER = "public, max-age=31536000, immutable"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Assets:
    """All files, by name."""

    version: str
    """Of all together: scripts import each other by relative names, and so have to be of one version."""
    plain: dict[str, bytes]
    compressed: dict[str, bytes]


@cache
def _assets() -> Assets:
    plain = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES}
    digest = hashlib.sha256(b"".join(name.encode() + content for name, content in plain.items())).hexdigest()
    return Assets(digest[:12], plain, {name: gzip.compress(content, mtime=0) for name, content in plain.items()})


def url_of(name: str) -> str:
    assets = _assets()
    assert name in assets.plain, name
    return f"/assets/{assets.version}/{name}"


def add_to(pages: Blueprint) -> None:
    pages.add_url_rule("/assets/<version>/<name>", "asset", show_asset)
    pages.add_url_rule("/favicon.ico", "icon", lambda: redirect(url_of("icon.svg"), 302))


def show_asset(version: str, name: str) -> AnyResponse:
    assets = _assets()
    if name not in assets.plain:
        raise NotFound("There is no such file.")
    if version != assets.version:
        # Of a page that was loaded before the service was renewed.
        return redirect(url_of(name), 302)
    reply = Response(assets.plain[name], mimetype=TYPES[Path(name).suffix])
    if request.accept_encodings["gzip"]:
        reply.data = assets.compressed[name]
        reply.headers["Content-Encoding"] = "gzip"
    reply.headers["Vary"] = "Accept-Encoding"
    reply.headers["Cache-Control"] = FOR_EVER
    return reply
