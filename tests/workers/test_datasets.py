import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn import datasets as oracle

from models import catalogue
from models.errors import DescentError
from workers.datasets import bundled
from workers.datasets.arrays import Arrays, NotIngested, load

ROOT = Path(__file__).parents[2]
NOWHERE = Path("nowhere")
quick = settings(max_examples=60, deadline=None)
CLASSIFIED = ("xor", "circles", "blobs", "spirals", "copy_memory", "patterns", "spectrograms", "signals")

VALUES = {
    "rows": st.integers(10, 300),
    "seed": st.integers(0, 2**32 - 1),
    "noise": st.floats(0, 10),
    "factor": st.floats(0.01, 0.99),
    "classes": st.integers(2, 100),
    "features": st.integers(1, 50),
    "arms": st.integers(2, 20),
    "turns": st.floats(0.01, 10),
    "majority": st.floats(0, 0.99),
    "length": st.integers(2, 60),
    "each": st.booleans(),
    "channels": st.integers(1, 8),
    "size": st.integers(8, 40),
    "shift": st.booleans(),
    "bands": st.integers(8, 40),
    "spectrograms.length": st.integers(8, 60),
    "signals.length": st.integers(16, 60),
}


@st.composite
def generated(draw, names=tuple(catalogue.GENERATED)):
    """A generated set's name, and any of its parameters."""
    name = draw(st.sampled_from(names))
    kind = catalogue.GENERATED[name]
    fields = {field: VALUES.get(f"{name}.{field}", VALUES[field]) for field in kind.model_fields if field != "lag"}
    parameters = draw(st.fixed_dictionaries({}, optional=fields))
    if "lag" in kind.model_fields:
        parameters["lag"] = draw(st.integers(1, parameters.get("length", 20) - 1))
    return name, parameters


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
    name, parameters = chosen
    even = {key: value for key, value in parameters.items() if key != "majority"}
    counts = np.bincount(load(name, even, NOWHERE).y, minlength=catalogue.shape_of(name, even).outputs)
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


def test_most_rows_of_blobs_may_be_of_one_class():
    arrays = load("blobs", {"rows": 200, "classes": 3, "majority": 0.9}, NOWHERE)
    assert np.bincount(arrays.y).tolist() == [180, 10, 10]


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


@quick
@given(generated(("lookahead",)))
def test_lookahead_targets_are_the_value_lag_steps_later_then_0(chosen):
    arrays, lag = load(*chosen, NOWHERE), chosen[1]["lag"]
    np.testing.assert_array_equal(arrays.y[:, :-lag], arrays.x[:, lag:])
    assert (arrays.y[:, -lag:] == 0).all()


@pytest.mark.parametrize("lag", [20, 1000])
def test_lookahead_refuses_a_lag_that_leaves_no_target(lag):
    with pytest.raises(ValidationError, match="less than `length`"):
        catalogue.shape_of("lookahead", {"length": 20, "lag": lag})


@pytest.mark.parametrize("size", [8, 12, 30])
def test_patterns_cover_the_same_area_in_every_class(size):
    arrays = load("patterns", {"noise": 0.0, "size": size}, NOWHERE)
    areas = np.count_nonzero(arrays.x, axis=(2, 3))
    assert (areas == areas[0, 0]).all()
    assert areas[0, 0] == 12 * (size // 12 or 1) ** 2


def test_the_colour_of_a_pattern_says_nothing_of_its_class():
    arrays = load("patterns", {"noise": 0.0, "rows": 8000}, NOWHERE)
    colours = arrays.x.sum(axis=(2, 3)) / 12
    assert 0.5 <= np.abs(colours).min() <= np.abs(colours).max() <= 1.5
    for motif in range(4):
        np.testing.assert_allclose(colours[arrays.y == motif].mean(axis=0), 0, atol=0.1)
        np.testing.assert_allclose(np.abs(colours[arrays.y == motif]).mean(axis=0), 1, atol=0.03)


def test_patterns_of_a_class_are_one_motif_shifted_or_in_the_middle():
    def cropped(image):
        y, x = np.nonzero(image)
        return image[y.min() : y.max() + 1, x.min() : x.max() + 1]

    shifted, middle = (
        load("patterns", {"rows": 4000, "noise": 0.0, "shift": shift}, NOWHERE) for shift in (True, False)
    )
    motifs = [{cropped(image).tobytes() for image in shifted.x[shifted.y == motif, 0] != 0} for motif in range(4)]
    assert [len(each) for each in motifs] == [1, 1, 1, 1]
    assert len(set.union(*motifs)) == 4
    assert len(np.unique(shifted.x[shifted.y == 0, 0] != 0, axis=0)) == 7 * 7
    assert len(np.unique(middle.x[:, 0] != 0, axis=0)) == 4


def test_large_patterns_are_float32_and_take_little_more_than_their_own_memory():
    tracemalloc.start()
    x = load("patterns", {"rows": 10, "size": 1000}, NOWHERE).x
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (x.dtype, x.shape) == (np.float32, (10, 4, 1000, 1000))
    assert peak < 2.5 * x.nbytes


def test_the_tone_of_a_spectrogram_moves_as_its_class_says():
    arrays = load("spectrograms", {"noise": 0.0, "bands": 64, "length": 96}, NOWHERE)
    power = arrays.x[:, 0].astype(float)  # [rows, bands, time]
    on = power.sum(axis=1) > 0.1
    steps = np.sign(np.diff(power.argmax(axis=1), axis=1))
    mostly = {name: steps[arrays.y == index].mean() for index, name in enumerate(catalogue.TONES)}
    assert mostly["rising"] > 0.5
    assert mostly["falling"] < -0.5
    assert (steps[arrays.y == 2] == 0).all()
    assert on[arrays.y != 3].all()
    assert on[arrays.y == 3].mean() == pytest.approx(0.5, abs=0.05)


def test_rising_and_falling_tones_have_the_same_mean_picture():
    arrays = load("spectrograms", {"noise": 0.0, "rows": 20_000}, NOWHERE)
    rising, falling = (arrays.x[arrays.y == tone].mean(axis=0) for tone in (0, 1))
    np.testing.assert_allclose(rising, falling, atol=0.03)


def test_signals_have_the_form_of_their_class_and_deviation_1():
    arrays = load("signals", {"noise": 0.0, "channels": 3, "length": 2000}, NOWHERE)
    np.testing.assert_allclose((arrays.x**2).mean(axis=(1, 2)), 1, rtol=1e-4)
    peaks = {name: np.abs(arrays.x[arrays.y == index]).max() for index, name in enumerate(catalogue.WAVES)}
    assert peaks == pytest.approx({"sine": 2**0.5, "square": 1, "sawtooth": 3**0.5, "triangle": 3**0.5}, rel=0.1)
    steepest = {name: np.diff(arrays.x[arrays.y == index]).min() for index, name in enumerate(catalogue.WAVES)}
    assert steepest["sawtooth"] < -3 < -0.2 < steepest["triangle"]


def test_channels_of_a_signal_differ_in_phase():
    x = load("signals", {"noise": 0.0, "channels": 2}, NOWHERE).x
    assert (np.abs(x[:, 0] - x[:, 1]).max(axis=1) > 0.01).mean() > 0.95


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
