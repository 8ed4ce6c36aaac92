"""Predictions for a file: the same as for its rows one by one, and what is said of rows that do not fit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from models.errors import InvalidDefinition
from models.ingest.options import Options
from models.predictor import Predictor, load
from tests.factories import a_definition
from tests.models import mixed
from tests.workers.test_export import a_model
from workers import predicting
from workers.export import onnx_file
from workers.predicting import predict_file

NETWORK = {"family": "dnn", "hidden": [5]}
HEADER = "id,age,member,colour,rooms\n"
ROWS = "a,31,true,red,10\nb,,false,été,\nc,2.5,,blue,1\n"


@pytest.fixture
def predictor(tmp_path: Path) -> Callable[..., Predictor]:
    def of(data: dict[str, Any]) -> Predictor:
        model = a_model(a_definition(network=NETWORK, data=data))
        (tmp_path / "model.onnx").write_bytes(onnx_file.onnx_file(model))
        return load(tmp_path / "model.onnx", model.definition.plain())

    return of


def predicted(predictor: Predictor, folder: Path, content: str | bytes, **options: Any) -> pa.Table:
    path = folder / "rows"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    file, rows = predict_file(path, Options(**options), predictor, folder)
    with file:
        table = parquet.read_table(file)
    assert table.num_rows == rows
    return table


@pytest.mark.parametrize("chunk", [2**20, 10])
def test_rows_of_a_csv_get_what_they_get_one_by_one(
    predictor: Any, tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predicting, "CHUNK_VALUES", chunk)
    model = predictor(mixed.data())
    table = predicted(model, tmp_path, HEADER + ROWS)
    assert table.column_names == [
        "id", "age", "member", "colour", "rooms", "predicted_class", "probability_no", "probability_yes",
    ]  # fmt: skip
    rows = [mixed.ROW, mixed.EMPTY, {"age": 2.5, "member": None, "colour": "blue", "rooms": 1}]
    for found, expected in zip(table.to_pylist(), model.predict(rows), strict=True):
        assert found["predicted_class"] == expected["class"]
        assert found["probability_yes"] == pytest.approx(expected["probabilities"]["yes"], abs=1e-6)


def test_parquet_of_other_types_is_the_same(predictor: Any, tmp_path: Path) -> None:
    model = predictor(mixed.data())
    table = pa.table({"rooms": [10.0, None], "colour": ["red", "été"], "member": [True, False], "age": [31, None]})
    parquet.write_table(table, tmp_path / "in.parquet")
    found = predicted(model, tmp_path, (tmp_path / "in.parquet").read_bytes())
    expected = model.predict([mixed.ROW, mixed.EMPTY])
    assert found["predicted_class"].to_pylist() == [one["class"] for one in expected]


def test_values_of_a_regression_and_columns_of_that_name(predictor: Any, tmp_path: Path) -> None:
    model = predictor(mixed.data(columns=mixed.NUMBERS, task="regression"))
    table = predicted(model, tmp_path, "age,member,predicted_value\n31,true,x\n,false,y\n")
    assert table.column_names == ["age", "member", "predicted_value", "predicted_value_"]
    expected = model.predict([{"age": 31, "member": True}, {"age": None, "member": False}])
    assert table["predicted_value_"].to_pylist() == pytest.approx([one["value"] for one in expected], rel=1e-6)


def test_without_names_the_order_counts(predictor: Any, tmp_path: Path) -> None:
    model = predictor({"dataset": "iris"})
    table = predicted(model, tmp_path, "5.1;3.5;1.4;0.2\n6;3;5;2\n", delimiter=";")
    expected = model.predict([[5.1, 3.5, 1.4, 0.2], [6, 3, 5, 2]])
    assert table["predicted_class"].to_pylist() == [one["class"] for one in expected]


@pytest.mark.parametrize(
    ("content", "code", "told"),
    [
        (HEADER + ROWS + "d,1,true,green,1\n", "unknown_category", "Row 4: the value 'green' of 'colour'"),
        (HEADER + ROWS + "d,1,true,,1\n", "missing_value", "Row 4"),
        (HEADER + ROWS + "d,old,true,red,1\n", "wrong_kind", "Row 4: the value 'old' of 'age'"),
        (HEADER + ROWS + "d,1,perhaps,red,1\n", "wrong_kind", "Row 4: the value 'perhaps' of 'member'"),
        (HEADER + ROWS + "d,1e39,true,red,1\n", "number_too_large", "Row 4"),
        (HEADER + ROWS + "d,1\n", "ragged_row", "Line 5"),
        ("age,member\n1,true\n", "missing_column", "'colour', 'rooms'"),
        ("", "empty_file", ""),
        (b"PAR1 and no more", "broken_parquet", ""),
    ],
)
def test_a_row_that_does_not_fit_is_named(
    predictor: Any, tmp_path: Path, content: str | bytes, code: str, told: str
) -> None:
    model = predictor(mixed.data())
    with pytest.raises(InvalidDefinition) as caught:
        predicted(model, tmp_path, content)
    [problem] = caught.value.problems
    assert problem.code == code
    assert told in problem.detail


def test_as_many_columns_as_the_model_takes(predictor: Any, tmp_path: Path) -> None:
    model = predictor({"dataset": "iris"})
    for content, code in (("1,2,3\n4,5,6\n", "wrong_columns"), ("a,b,c,d\n1,2,3,4\n1,,3,4\n", "missing_value")):
        with pytest.raises(InvalidDefinition) as caught:
            predicted(model, tmp_path, content)
        assert caught.value.problems[0].code == code
    with pytest.raises(InvalidDefinition, match="Row 2: the value 'x' of 'b' is not a number"):
        predicted(model, tmp_path, "a,b,c,d\n1,2,3,4\n1,x,3,4\n")


def test_nothing_is_left_in_the_folder(predictor: Any, tmp_path: Path) -> None:
    model = predictor({"dataset": "iris"})
    before = {path.name for path in tmp_path.iterdir()}
    csv.write_csv(pa.table({"a": [1.0], "b": [1.0], "c": [1.0], "d": [1.0]}), tmp_path / "rows")
    predict_file(tmp_path / "rows", Options(), model, tmp_path)[0].close()
    assert {path.name for path in tmp_path.iterdir()} == before | {"rows"}
