"""Waiting for what other threads and processes bring about."""

import time
from collections.abc import Callable
from typing import Any


def await_true(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """What the condition gives once it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)
    return found
