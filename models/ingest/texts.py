"""A table of which one column is text: its words become tokens, and another column is the target."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.columns import Column
from models.definitions.uploaded import Task, Uploaded
from models.ingest.array_file import ArrayFile
from models.ingest.refusal import refused
from models.ingest.table import Looked, TableWriter
from models.ingest.values import as_words
from models.words import Words, words_of

MOST_WORDS = 20_000
MOST_COUNTED = 1_000_000
"""Different words that are counted at once; beyond it those that were seen once are forgotten."""
MOST_LENGTH = 256
"""Of a sequence, where nothing else is asked for."""
CHUNK_ROWS = 2**12


class TextWriter(TableWriter):
    """Writes the texts aside while the table is read: which words are tokens is known at the end."""

    def __init__(self, schema: pa.Schema, folder: Path, text: str) -> None:
        super().__init__(schema, folder, {text: "text"}, None, None)
        self._folder, self._place = folder, schema.get_field_index(text)
        self._counts: Counter[str] = Counter()
        self._longest = 0
        self._texts = (folder / "texts").open("wb")

    def add(self, looked: Looked) -> None:
        super().add(looked)
        for text in as_words(looked.batch.column(self._place)).to_pylist():
            words = words_of(text or "")
            self._counts.update(words)
            self._longest = max(self._longest, len(words))
            self._texts.write(" ".join(words).encode() + b"\n")
        if len(self._counts) > MOST_COUNTED:
            self._counts = Counter({word: count for word, count in self._counts.items() if count > 1})

    def close(self) -> None:
        super().close()
        self._texts.close()

    def write_tokens(self, length: int | None) -> tuple[int, Words]:
        """Writes `x.npy` and `words.npy`; gives the length of the sequences, and the words."""
        if not self._counts:
            raise refused("no_words", "The column of texts has no words.", "Name another one.", "/text")
        # Equally frequent ones in the order of letters: the same data have the same tokens.
        ranked = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        words = Words([word for word, _ in ranked[: MOST_WORDS - 2]])
        length = length or min(self._longest, MOST_LENGTH)
        words.save(self._folder / "words.npy")
        with ArrayFile(self._folder / "x.npy", (length,), np.int64) as x:
            for texts in self._chunks():
                x.append(words.encode(texts, length))
        (self._folder / "texts").unlink()
        return length, words

    def _chunks(self) -> Iterator[list[str]]:
        chunk: list[str] = []
        with (self._folder / "texts").open(encoding="utf-8", newline="\n") as file:
            for line in file:
                chunk.append(line)
                if len(chunk) == CHUNK_ROWS:
                    yield chunk
                    chunk = []
        if chunk:
            yield chunk


def cut_texts(writer: TextWriter, folder: Path, target: Column, task: Task, length: int | None) -> Uploaded:
    """Makes the arrays of tokens and targets of a table that was read, which is then needed no more."""
    length, words = writer.write_tokens(length)
    table = np.load(folder / "table.npy", mmap_mode="r")
    values: NDArray[np.float32] = np.array(table[:, target.place])
    rows = len(values)
    classes = target.categories if task == "classification" else ()
    np.save(folder / "y.npy", target.codes_of(values) if classes else values[:, None])
    (folder / "table.npy").unlink()
    return Uploaded(
        kind="tokens",
        rows=rows,
        task=task,
        input_shape=(length,),
        outputs=len(classes) or 1,
        classes=classes,
        vocabulary=words.size,
    )
