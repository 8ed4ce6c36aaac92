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


FINE = {
    "nanoseconds": 1_700_000_000_000_000_000 + np.arange(60) * 10**9,
    "2^60": 2**60 + np.arange(60) * 300,
    "seconds": 1_700_000_000 + np.arange(60),
    "1e-46": np.arange(60) * 1e-46,
}


@pytest.mark.parametrize("name", FINE)
@pytest.mark.parametrize("is_csv", [True, False], ids=["csv", "parquet"])
def test_numbers_that_float32_cannot_part_are_read_with_a_warning(tmp_path: Path, name: str, is_csv: bool) -> None:
    columns = {"a": FINE[name], "y": np.arange(60) / 4}
    _, summary = read(tmp_path, csv(**columns) if is_csv else columns, target="y")
    column, doubles = shown(summary, "a"), FINE[name].astype(np.float64)
    assert codes(summary) == ["too_fine"]
    assert (column["min"], column["max"]) == (doubles.min(), doubles.max())
    assert column["std"] == pytest.approx(doubles.std(), rel=0.1)
    assert column["histogram"] == {"edges": [column["min"], column["max"]], "rows": [60]}


@pytest.mark.parametrize("low", [2**64 - 60, 10**30])
def test_numbers_that_not_even_float64_can_part_are_read(tmp_path: Path, low: int) -> None:
    _, summary = read(tmp_path, csv(a=[low + i for i in range(60)], y=np.arange(60) / 4), target="y")
    assert shown(summary, "a")["histogram"] == {"edges": [float(low)] * 2, "rows": [60]}


@pytest.mark.parametrize("values", [np.arange(60) * 1e-40, np.linspace(-3e38, 3e38, 60)], ids=["small", "large"])
def test_the_smallest_and_the_largest_numbers_have_a_histogram(tmp_path: Path, values: Any) -> None:
    _, summary = read(tmp_path, {"a": values, "y": np.arange(60) / 4}, target="y")
    assert codes(summary) == []
    assert shown(summary, "a")["histogram"]["rows"] == [3] * 20


def test_whole_numbers_beyond_float32_are_classes_once_they_are_said_to_be_categories(tmp_path: Path) -> None:
    content = csv(a=np.arange(40) / 4, y=[1_700_000_000 + i % 2 for i in range(40)])
    with pytest.raises(InvalidDataset) as refusal:
        read(tmp_path, content, target="y", task="classification")
    [problem] = refusal.value.problems
    assert (problem.code, problem.hint) == ("wrong_task", 'Send kinds={"y": "category"}.')
    uploaded, _ = read(tmp_path, content, target="y", kinds={"y": "category"})
    assert uploaded.columns
    assert uploaded.columns["y"].categories == ("1700000000", "1700000001")


def test_times_with_nanoseconds_are_rounded(tmp_path: Path) -> None:
    when = pa.array(np.arange(60) * 10**9 + 123, pa.timestamp("ns"))
    uploaded, summary = read(tmp_path, {"t": when, "a": np.arange(60) / 8, "y": np.arange(60) / 4}, time="t", length=3)
    assert uploaded.rows == 57
    assert codes(summary) == ["guessed_target"]


ROWS = "".join(f"{i},{i / 4}\n" for i in range(1, 40))
LONG = [f"{'n' * 90}{i}" for i in range(3000)]
HEADERS = {
    "long": (",".join(LONG) + "\n" + (",".join(["1.5"] * 3000) + "\n") * 3, LONG),
    "line break": ('"size\nin m",y\n' + ROWS, ["size\nin m", "y"]),
    "U+2028": ("size\u2028in m,y\n" + ROWS, ["size\u2028in m", "y"]),
    "blank lines": ("\n \n\r\na,y\n" + ROWS, ["a", "y"]),
    "carriage returns": (("a,y\n" + ROWS).replace("\n", "\r"), ["a", "y"]),
    "mark": ("\ufeffa,y\r\n" + ROWS, ["a", "y"]),
    "quote": ('5",y\n' + ROWS, ['5"', "y"]),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("name", HEADERS)
def test_a_header_is_read_as_it_is_written(tmp_path: Path, name: str, encoding: str) -> None:
    text, names = HEADERS[name]
    uploaded, summary = read(tmp_path, text.encode(encoding), encoding=encoding)
    assert [column["name"] for column in summary["columns"]] == names
    assert uploaded.rows == (3 if name == "long" else 39)


def test_a_kind_of_a_column_that_is_not_there_is_pointed_at_whatever_its_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset) as refusal:
        read(tmp_path, csv(a=range(4), y=range(4)), kinds={"m/s": "number"})
    [problem] = refusal.value.problems
    assert (problem.pointer, problem.code) == ("/kinds/m~1s", "unknown_column")


WORDS = {
    "decimal commas": csv(a=[f'"{i},25"' for i in range(60)], y=np.arange(60) / 4),
    "stray word": csv(a=[*range(59), "none"], y=np.arange(60) / 4),
}


@pytest.mark.parametrize("name", WORDS)
def test_words_that_nearly_all_differ_have_a_warning(tmp_path: Path, name: str) -> None:
    assert codes(read(tmp_path, WORDS[name], target="y")[1]) == ["unique_categories"]
    assert codes(read(tmp_path, WORDS[name], target="y", kinds={"a": "category"})[1]) == []
