"""Columns that are unusual and sound: what is made of them, and what a client is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from models.definitions.uploaded import Uploaded
from models.errors import InvalidDataset
from models.ingest.options import Options
from models.ingest.reading import read_file


def read(folder: Path, content: bytes | dict[str, Any], **options: Any) -> tuple[Uploaded, dict[str, Any]]:
    """Of a CSV, or of the columns of a Parquet file."""
    if isinstance(content, bytes):
        (folder / "file").write_bytes(content)
    else:
        parquet.write_table(pa.table(content), folder / "file")
    return read_file(folder / "file", Options(**options), folder, 10**8)[1:]


def csv(**columns: Any) -> bytes:
    rows = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    return "\n".join([",".join(columns), *rows, ""]).encode()


def shown(summary: dict[str, Any], name: str) -> dict[str, Any]:
    return next(column for column in summary["columns"] if column["name"] == name)


def codes(summary: dict[str, Any]) -> list[str]:
    return [warning["code"] for warning in summary["warnings"]]


EMPTY = {
    "csv": csv(a=range(40), e=[""] * 40, y=np.arange(40) / 4),
    "null": {"a": np.arange(40), "e": pa.nulls(40), "y": np.arange(40) / 4},
    "nan": {"a": np.arange(40), "e": np.full(40, np.nan), "y": np.arange(40) / 4},
}


@pytest.mark.parametrize("form", EMPTY)
def test_an_empty_column_is_no_feature(tmp_path: Path, form: str) -> None:
    uploaded, summary = read(tmp_path, EMPTY[form], target="y")
    assert uploaded.columns
    assert (uploaded.columns["e"].kind, uploaded.columns.features) == ("text", ("a",))
    assert codes(summary) == ["empty_column"]


@pytest.mark.parametrize("form", EMPTY)
def test_an_empty_column_that_is_to_be_a_feature_is_refused(tmp_path: Path, form: str) -> None:
    with pytest.raises(InvalidDataset) as refusal:
        read(tmp_path, EMPTY[form], target="y", features=("a", "e"))
    [problem] = refusal.value.problems
    assert (problem.pointer, problem.code) == ("/features/1", "empty_column")
