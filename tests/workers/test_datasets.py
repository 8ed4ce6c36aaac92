import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets as oracle

from models import catalogue
from models.errors import DescentError
from workers.datasets import bundled
from workers.datasets.arrays import Arrays, NotIngested, load

ROOT = Path(__file__).parents[2]
NOWHERE = Path("nowhere")
quick = settings(max_examples=60, deadline=None)
CLASSIFIED = ("xor", "circles", "blobs", "spirals", "copy_memory")

VALUES = {
    "rows": st.integers(10, 300),
    "seed": st.integers(0, 2**32 - 1),
    "noise": st.floats(0, 10),
    "factor": st.floats(0.01, 0.99),
    "classes": st.integers(2, 100),
    "features": st.integers(1, 50),
    "arms": st.integers(2, 20),
    "turns": st.floats(0.01, 10),
    "length": st.integers(2, 60),
    "each": st.booleans(),
}


@st.composite
def generated(draw, names=tuple(catalogue.GENERATED)):
    """A generated set's name, and any of its parameters."""
    name = draw(st.sampled_from(names))
    fields = {field: VALUES[field] for field in catalogue.GENERATED[name].model_fields}
    return name, draw(st.fixed_dictionaries({}, optional=fields))


def fits(arrays: Arrays, shape: catalogue.DataShape) -> None:
    """Asserts that the arrays are what the catalogue says of them."""
    assert arrays.x.shape == (shape.rows, *shape.input_shape)
    assert arrays.x.dtype == (np.int64 if shape.kind == "tokens" else np.float32)
    assert np.isfinite(arrays.x).all()
    if shape.task == "classification":
        assert (arrays.y.shape, arrays.y.dtype) == ((shape.rows,), np.int64)
        assert arrays.y.min() >= 0
        assert arrays.y.max() < shape.outputs == len(shape.classes)
    else:
        steps = shape.input_shape[:1] if shape.per_step else ()
        assert (arrays.y.shape, arrays.y.dtype) == ((shape.rows, *steps, shape.outputs), np.float32)
        assert np.isfinite(arrays.y).all()


@quick
@given(generated())
def test_generated_arrays_have_the_shape_the_catalogue_promises(chosen):
    fits(load(*chosen, NOWHERE), catalogue.shape_of(*chosen))


@quick
@given(generated())
def test_the_same_parameters_give_the_same_arrays(chosen):
    once, again = load(*chosen, NOWHERE), load(*chosen, NOWHERE)
    assert once.x.tobytes() == again.x.tobytes()
    assert once.y.tobytes() == again.y.tobytes()


@pytest.mark.parametrize("name", catalogue.GENERATED)
def test_another_seed_gives_other_rows(name):
    assert not np.array_equal(load(name, {"seed": 1}, NOWHERE).x, load(name, {"seed": 2}, NOWHERE).x)


@quick
@given(generated(CLASSIFIED))
def test_no_class_has_two_rows_more_than_another(chosen):
    counts = np.bincount(load(*chosen, NOWHERE).y, minlength=catalogue.shape_of(*chosen).outputs)
    assert counts.max() - counts.min() <= 1


def test_rows_come_in_random_order():
    y = load("xor", {}, NOWHERE).y
    assert not np.array_equal(y, np.sort(y))
    assert not np.array_equal(y[:-2], y[2:])


def test_xor_is_the_exclusive_or_of_four_equal_corners():
    arrays = load("xor", {"noise": 0.0}, NOWHERE)
    a, b = arrays.x.astype(int).T
    np.testing.assert_array_equal(arrays.y, a ^ b)
    np.testing.assert_array_equal(np.bincount(2 * a + b), [100, 100, 100, 100])


def test_noise_is_the_deviation_around_a_corner():
    arrays = load("xor", {"rows": 100_000, "noise": 0.2}, NOWHERE)
    assert np.std(arrays.x - np.rint(arrays.x).clip(0, 1)) == pytest.approx(0.2, rel=0.03)


def test_circles_have_the_radii_of_their_classes():
    arrays = load("circles", {"noise": 0.0, "factor": 0.3}, NOWHERE)
    np.testing.assert_allclose(np.linalg.norm(arrays.x, axis=1), np.where(arrays.y == 0, 1, 0.3), rtol=1e-6)
    assert np.abs(arrays.x.mean(axis=0)).max() < 0.15


def test_blobs_lie_at_one_centre_each_within_ten():
    arrays = load("blobs", {"noise": 0.0, "classes": 7, "features": 5}, NOWHERE)
    centres = np.unique(arrays.x, axis=0)
    assert len(centres) == 7
    assert 5 < np.abs(centres).max() <= 10


def test_each_spiral_arm_is_the_first_one_rotated():
    arrays = load("spirals", {"noise": 0.0, "arms": 3, "turns": 2.0}, NOWHERE)
    radii = np.linalg.norm(arrays.x.astype(float), axis=1)
    turns = np.arctan2(arrays.x[:, 1], arrays.x[:, 0]) / (2 * np.pi) - 2.0 * radii - arrays.y / 3
    np.testing.assert_allclose(turns, np.rint(turns), atol=1e-3)
    assert radii.max() <= 1 + 1e-6


def test_sine_targets_are_the_next_value_of_the_wave():
    parameters = {"rows": 50, "length": 40, "noise": 0.0}
    each, last = load("sine", {**parameters, "each": True}, NOWHERE), load("sine", parameters, NOWHERE)
    np.testing.assert_array_equal(each.y[:, :-1], each.x[:, 1:])
    np.testing.assert_array_equal(last.y, each.y[:, -1])
    np.testing.assert_array_equal(last.x, each.x)


def test_sine_noise_is_on_the_inputs_alone():
    noisy, clean = load("sine", {"noise": 0.5}, NOWHERE), load("sine", {"noise": 0.0}, NOWHERE)
    np.testing.assert_array_equal(noisy.y, clean.y)
    assert np.std(noisy.x - clean.x) == pytest.approx(0.5, rel=0.03)


@quick
@given(rows=VALUES["rows"], length=VALUES["length"], seed=VALUES["seed"])
def test_adding_is_the_sum_of_one_marked_value_in_each_half(rows, length, seed):
    arrays = load("adding", {"rows": rows, "length": length, "seed": seed}, NOWHERE)
    values, marks = arrays.x[..., 0], arrays.x[..., 1]
    assert set(np.unique(marks)) <= {0, 1}
    assert (marks[:, : length // 2].sum(axis=1) == 1).all()
    assert (marks[:, length // 2 :].sum(axis=1) == 1).all()
    for row in range(10):
        assert arrays.y[row, 0] == pytest.approx(sum(values[row, marks[row] == 1]))
    assert 0 <= values.min() <= values.max() <= 1


def test_adding_marks_every_step_of_the_sequence():
    assert load("adding", {"length": 7}, NOWHERE).x[..., 1].any(axis=0).all()


def test_copy_memory_is_a_symbol_then_blanks_then_a_cue():
    arrays = load("copy_memory", {"length": 3}, NOWHERE)
    np.testing.assert_array_equal(arrays.x[:, 0], arrays.y)
    np.testing.assert_array_equal(np.unique(arrays.x[:, 1:], axis=0), [[8, 8, 8, 9]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("datasets") / "new"
    bundled.ingest(path)
    return path


@pytest.mark.parametrize("name", catalogue.BUNDLED)
def test_bundled_arrays_have_the_shape_the_catalogue_promises(name, folder):
    fits(load(name, {}, folder), catalogue.shape_of(name, {}))


@pytest.mark.parametrize("name", ["digits", "iris", "wine", "breast_cancer", "diabetes"])
def test_bundled_arrays_are_those_of_scikit_learn(name, folder):
    options = {"scaled": False} if name == "diabetes" else {}
    truth = getattr(oracle, f"load_{name}")(**options)
    arrays, shape = load(name, {}, folder), catalogue.shape_of(name, {})
    np.testing.assert_array_equal(arrays.x.reshape(shape.rows, -1), truth.data.astype(np.float32))
    np.testing.assert_array_equal(arrays.y.ravel(), truth.target)
    if shape.classes:
        assert shape.classes == tuple(str(each) for each in truth.target_names)


def test_digits_rows_are_the_rows_of_the_digits(folder):
    digits, rows = load("digits", {}, folder), load("digits_rows", {}, folder)
    np.testing.assert_array_equal(digits.x[:, 0], rows.x)
    np.testing.assert_array_equal(digits.y, rows.y)


def test_bundled_arrays_are_mapped_and_can_not_be_written(folder):
    assert isinstance(load("iris", {}, folder).x, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        load("iris", {}, folder).x[0] = 0


def test_a_set_that_is_not_ingested_is_named(tmp_path):
    with pytest.raises(NotIngested, match="wine") as caught:
        load("wine", {}, tmp_path)
    assert isinstance(caught.value, DescentError)


def test_ingesting_again_touches_nothing_and_needs_no_scikit_learn(folder, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    monkeypatch.setitem(sys.modules, "sklearn", None)  # importing it now fails
    bundled.ingest(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_an_interrupted_ingest_leaves_nothing_half_done_and_is_finished_by_the_next(tmp_path, monkeypatch):
    def full_disk(path, array):
        if path.name == "y.npy" and "wine" in str(path):
            raise OSError("no space left on device")
        write(path, array)

    write = bundled.write
    monkeypatch.setattr(bundled, "write", full_disk)
    with pytest.raises(OSError, match="no space"):
        bundled.ingest(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"digits", "digits_rows", "iris"}
    assert not bundled.ingested(tmp_path)
    monkeypatch.undo()
    bundled.ingest(tmp_path)
    assert bundled.ingested(tmp_path)


def test_a_killed_ingest_is_no_obstacle_to_the_next(tmp_path):
    (tmp_path / ".iris-draft").mkdir()
    (tmp_path / ".iris-draft" / "x.npy").write_bytes(b"half")
    bundled.ingest(tmp_path)
    assert bundled.ingested(tmp_path)


def test_a_second_writer_of_the_same_set_is_harmless(tmp_path):
    x, y = np.ones((2, 1), np.float32), np.zeros(2, np.int64)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: bundled.publish(tmp_path / "iris", x, y), range(32)))
    assert [path.name for path in tmp_path.iterdir()] == ["iris"]
    np.testing.assert_array_equal(load("iris", {}, tmp_path).x, x)


def test_a_folder_in_the_way_is_an_error(tmp_path):
    (tmp_path / "iris").mkdir()
    (tmp_path / "iris" / "notes.txt").touch()
    with pytest.raises(OSError, match="not empty"):
        bundled.ingest(tmp_path)


def test_two_processes_may_ingest_at_once(tmp_path):
    command = [sys.executable, "-m", "workers.datasets.bundled", str(tmp_path)]
    processes = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert bundled.ingested(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(catalogue.BUNDLED)


def test_reading_data_imports_neither_scikit_learn_nor_torch():
    script = (
        "import sys; from workers.datasets import arrays, bundled; assert not {'sklearn', 'torch'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


@pytest.mark.parametrize("dataset", catalogue.datasets(), ids=lambda dataset: dataset.name)
def test_the_documentation_names_every_set_and_parameter_with_its_default(dataset):
    lines = (ROOT / "docs/datasets.md").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"| `{dataset.name}` |")]
    parameters = {name: str(field.default).lower() for name, field in dataset.parameters.model_fields.items()}
    assert all(f"`{name}` {default}" in line for name, default in parameters.items())
    shown = str(dataset.shape.rows) if not parameters else "`rows`"
    assert f"| {shown} |" in line
