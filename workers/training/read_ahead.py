"""Reading in a thread while the caller works on what was read before."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Piece = TypeVar("Piece")
Block = TypeVar("Block")

AHEAD = 2
"""Blocks that are read or wait to be taken, beside the one in use."""


def read_ahead(read: Callable[[Piece], Block], pieces: Iterable[Piece]) -> Generator[Block, None, None]:
    """`read` of each piece, in order. What it raises is raised here; the thread ends with this iterator."""
    waiting = iter(pieces)
    pool = ThreadPoolExecutor(1, "reader")
    try:
        ahead = deque(pool.submit(read, piece) for piece in islice(waiting, AHEAD))
        while ahead:
            block = ahead.popleft().result()
            ahead.extend(pool.submit(read, piece) for piece in islice(waiting, 1))
            yield block
    finally:
        pool.shutdown(cancel_futures=True)
