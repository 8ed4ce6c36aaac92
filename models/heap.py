"""The heap of a process of many threads."""

import ctypes
from contextlib import suppress

M_ARENA_MAX = -8
HEAPS = 2


def share_heaps() -> None:
    """Before there are threads. glibc would give each a heap of its own, which keeps what one large answer needed: with
    ONNX Runtime 10 to 20 MB after a while. Other C libraries have no such call."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, HEAPS)
