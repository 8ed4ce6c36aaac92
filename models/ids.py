"""Ids with a readable prefix, sortable by time: `job_` and 26 characters (48 bits of milliseconds, 80 random bits)."""

import re
import secrets
import threading
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: no i, l, o, u to misread."""
LENGTH = 26
FORM = re.compile(rf"[a-z]{{3}}_[{ALPHABET}]{{{LENGTH}}}")

_lock = threading.Lock()
_last = 0


def new_id(prefix: str) -> str:
    """A fresh id; later ones of a process sort after earlier ones, within a millisecond too."""
    global _last  # noqa: PLW0603
    with _lock:
        _last = max(time.time_ns() // 1_000_000 << 80 | secrets.randbits(80), _last + 1)
        number = _last
    return _written(prefix, number)


def bound(prefix: str, seconds: float) -> str:
    """Not greater than the id of anything made at this Unix time or later."""
    milliseconds = min(max(int(seconds * 1000), 0), 2**48 - 1)
    return _written(prefix, milliseconds << 80)


def _written(prefix: str, number: int) -> str:
    return f"{prefix}_" + "".join(ALPHABET[number >> 5 * place & 31] for place in reversed(range(LENGTH)))


def is_id(text: str) -> bool:
    """Whether a text has the form of an id; what has not, need not be looked for."""
    return FORM.fullmatch(text) is not None
