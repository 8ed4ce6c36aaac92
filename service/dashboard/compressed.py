"""Pages, and the numbers that their scripts ask for, compressed: a chart's JSON by three quarters. Answers to programs
are left as they are: most are small, and the time is theirs."""

import gzip

from flask import Response, g, request

SMALLEST = 1_400
"""Bytes that fit into one packet anyway."""
LEVEL = 4
TYPES = ("text/html", "application/json", "application/problem+json")


def compress(reply: Response) -> Response:
    if reply.mimetype == "text/html":
        # Whoever goes back after signing out is shown nothing.
        reply.headers.setdefault("Cache-Control", "no-store")
    is_for_a_page = "session" in g or reply.mimetype == "text/html"
    if not is_for_a_page or reply.mimetype not in TYPES or reply.is_streamed or "Content-Encoding" in reply.headers:
        return reply
    reply.headers.add("Vary", "Accept-Encoding, Cookie")
    if request.accept_encodings["gzip"] and len(reply.data) >= SMALLEST:
        reply.data = gzip.compress(reply.data, LEVEL, mtime=0)
        reply.headers["Content-Encoding"] = "gzip"
    return reply
