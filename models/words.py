"""Texts as sequences of tokens: words and signs in small letters, each with a number.

0 is padding, which stands before a text, so that the last step is its last word; 1 is a word that the data did not
have, or not often enough; the others follow by how often they occur.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PADDING, UNKNOWN = 0, 1
FIRST = 2
WORD = re.compile(r"\w+|[^\w\s]")
MOST_BYTES = 64
"""Of a word in UTF-8; longer ones are cut."""


def words_of(text: str) -> list[str]:
    return [word.encode()[:MOST_BYTES].decode("utf-8", "ignore") for word in WORD.findall(text.lower())]


class Words:
    """The vocabulary of a data set."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)

    @property
    def size(self) -> int:
        """Different tokens, padding and unknown words included."""
        return len(self.words) + FIRST

    @cached_property
    def _tokens(self) -> dict[str, int]:
        return {word: place + FIRST for place, word in enumerate(self.words)}

    def encode(self, texts: Iterable[str | None], length: int) -> NDArray[np.int64]:
        """int64 [texts, length]: the first words of each, behind padding."""
        rows = [[self._tokens.get(word, UNKNOWN) for word in words_of(text or "")[:length]] for text in texts]
        return np.array([[PADDING] * (length - len(row)) + row for row in rows], np.int64).reshape(-1, length)

    def token(self, word: str) -> int:
        """Of a single word."""
        return self._tokens.get(word.lower(), UNKNOWN)

    def numbers_in(self, other: "Words") -> NDArray[np.int64]:
        """Of each token of these words, [size], its number among others; what those do not have is unknown there."""
        return np.array([PADDING, UNKNOWN, *map(other.token, self.words)], np.int64)

    def save(self, path: Path) -> None:
        np.save(path, np.array([word.encode() for word in self.words], f"S{MOST_BYTES}"), allow_pickle=False)

    @classmethod
    def load(cls, path: Path) -> "Words":
        return cls([word.decode() for word in np.load(path, allow_pickle=False).tolist()])
