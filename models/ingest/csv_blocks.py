"""A CSV as blocks of whole lines, in UTF-8."""

import codecs
from collections.abc import Iterator
from pathlib import Path

BLOCK_BYTES = 2**21
MOST_BLOCK_BYTES = 2**24


def blocks(path: Path, encoding: str) -> Iterator[bytes]:
    """The file in UTF-8, cut where a line ends: at a line break with an even number of quotes before it."""
    decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)()
    left = b""
    with path.open("rb") as file:
        while chunk := file.read(BLOCK_BYTES):
            left += chunk if decoder is None else decoder.decode(chunk).encode()
            end = end_of_lines(left)
            # Quotes that never close are part of a value, as in 5": then every line break ends a line.
            end = left.rfind(b"\n") + 1 if not end and len(left) > MOST_BLOCK_BYTES else end
            if end:
                yield left[:end]
                left = left[end:]
    left += b"" if decoder is None else decoder.decode(b"", final=True).encode()
    if left.strip():
        yield left


def end_of_lines(block: bytes) -> int:
    """Where the last whole line ends; 0 if none does."""
    if b'"' not in block:
        return block.rfind(b"\n") + 1
    quotes, end = block.count(b'"'), len(block)
    while (end := block.rfind(b"\n", 0, end)) >= 0:
        before = quotes - block.count(b'"', end)
        if before % 2 == 0:
            return end + 1
    return 0
