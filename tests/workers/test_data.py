import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.catalogue import DataShape, shape_of, shape_of_data
from models.definitions.data import Data
from models.errors import InvalidDefinition
from workers.datasets.arrays import Arrays, load
from workers.training.data import Prepared, prepare
from workers.training.split import apportion, cut, mislabelled, split

CPU = torch.device("cpu")
quick = settings(max_examples=60, deadline=None)
LABELS = st.lists(st.integers(0, 5), min_size=2, max_size=200).map(np.array)
SHARES = st.floats(0.001, 0.9)
SEEDS = st.integers(0, 2**32 - 1)


def data(**changes) -> Data:
    return Data(**{"dataset": "xor", **changes})


def table(x, y, **changes) -> Prepared:
    """The parts of a table: a regression if `y` has outputs, else classes."""
    x, y = np.asarray(x, np.float32), np.asarray(y)
    task = "regression" if y.ndim > 1 else "classification"
    y = y.astype(np.float32 if y.ndim > 1 else np.int64)
    return prepare(data(**changes), Arrays(x, y), DataShape("table", task, len(x), x.shape[1:], 1), CPU)


@quick
@given(LABELS, SHARES, SEEDS, st.sampled_from(["classification", "regression"]))
def test_a_split_is_disjoint_complete_ascending_and_has_rows_on_both_sides(y, share, seed, task):
    training, validation = split(data(validation=share, seed=seed), y, task)
    assert sorted([*training, *validation]) == list(range(len(y)))
    assert (np.diff(training) > 0).all()
    assert (np.diff(validation) > 0).all()
    assert len(validation) == min(max(round(len(y) * share), 1), len(y) - 1)


@quick
@given(LABELS, SHARES, SEEDS)
def test_the_same_seed_splits_alike(y, share, seed):
    once, again = (split(data(validation=share, seed=seed), y.copy(), "classification") for _ in range(2))
    np.testing.assert_array_equal(once[1], again[1])


def test_the_seed_decides_the_split_and_nothing_else_does():
    y = np.arange(1000) % 2

    def kept(**changes):
        return split(data(**changes), y, "classification")[1].tolist()

    assert kept(seed=1) == kept(seed=1, normalise="none", dataset="circles")
    assert kept(seed=1) != kept(seed=2)


def test_a_split_can_be_repeated_with_numpy_alone():
    kept = np.random.default_rng(7).permutation(50)[:10]
    np.testing.assert_array_equal(split(data(seed=7), np.zeros((50, 1)), "regression")[1], np.sort(kept))


@quick
@given(LABELS, SHARES, SEEDS)
def test_classes_are_kept_in_proportion(y, share, seed):
    _, validation = split(data(validation=share, seed=seed), y, "classification")
    counts, kept = np.bincount(y, minlength=6), np.bincount(y[validation], minlength=6)
    fair = counts * len(validation) / len(y)
    forced = np.isin(counts, [0, 1]) | (fair < 1) | (fair > counts - 1)
    if not forced.any():
        assert (np.abs(kept - fair) < 1).all()


@quick
@given(st.lists(st.integers(1, 50), min_size=1, max_size=12).map(np.array), st.data())
def test_apportioning_is_right_in_total_and_shows_every_class_on_both_sides_where_it_can(counts, drawn):
    total = drawn.draw(st.integers(0, int(counts.sum())))
    seats = apportion(counts, total)
    assert seats.sum() == total
    assert (seats >= 0).all()
    assert (seats <= counts).all()
    if total >= (counts >= 2).sum():
        assert (seats[counts >= 2] >= 1).all()
    if total <= (counts - 1).sum():
        assert (seats < counts).all()


@pytest.mark.parametrize(
    ("counts", "total", "seats"),
    [
        ([50, 50, 50], 30, [10, 10, 10]),
        ([7, 5, 3], 5, [2, 2, 1]),  # shares 2.33, 1.67, 1: the second has the largest remainder
        ([5, 5, 5], 4, [2, 1, 1]),  # equal remainders: the lower class
        ([97, 2, 1], 10, [9, 1, 0]),  # a rare class is on both sides, a single row is trained on
        ([2, 2, 2], 1, [1, 0, 0]),  # too few for all
        ([1, 1, 1], 2, [1, 1, 0]),  # single rows must go
    ],
)
def test_seats_go_by_largest_remainder(counts, total, seats):
    assert apportion(np.array(counts), total).tolist() == seats


def test_without_validation_every_row_is_trained_on():
    prepared = table([[1.0], [2.0], [3.0]], [0, 1, 0], validation=None)
    assert prepared.validation is None
    assert prepared.training.y.tolist() == [0, 1, 0]
    assert len(prepared.training) == 3


def test_rows_keep_the_order_of_the_data_set_and_their_targets():
    y = np.arange(40)[:, None]
    prepared = table(10.0 * y, y, normalise="none")
    assert prepared.training.y.flatten().diff().gt(0).all()
    for part in (prepared.training, prepared.validation):
        assert torch.equal(part.x, 10 * part.y)
    assert len(prepared.validation) == 8


@pytest.mark.parametrize("normalise", ["standard", "minmax", "none"])
def test_rows_kept_for_validation_change_nothing_in_training(normalise):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)), rng.normal(size=(60, 2))
    _, kept = split(data(), y, "regression")
    before = table(x, y, normalise=normalise)
    x[kept], y[kept] = 1e6, -1e6
    after = table(x, y, normalise=normalise)
    assert torch.equal(before.training.x, after.training.x)
    assert torch.equal(before.training.y, after.training.y)
    assert torch.equal(before.target.factor, after.target.factor)
    assert not torch.equal(before.validation.x, after.validation.x)


def test_standard_gives_each_feature_mean_0_and_deviation_1():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3)) * [1e-3, 1, 1e4] + [1e3, 0, -5]
    prepared = table(x, rng.normal(7, 3, size=(500, 1)))
    for values in (prepared.training.x, prepared.training.y):
        assert values.double().mean(0).abs().max() < 1e-6
        assert (values.double().std(0, correction=0) - 1).abs().max() < 1e-6


def test_minmax_brings_each_feature_to_0_and_1():
    prepared = table(np.random.default_rng(0).normal(size=(100, 3)), np.arange(100)[:, None] ** 2, normalise="minmax")
    for values in (prepared.training.x, prepared.training.y):
        assert (values.amin(0) == 0).all()
        assert (values.amax(0) == 1).all()


def test_none_leaves_every_bit_alone():
    x = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    prepared = table(x, x, normalise="none", validation=None)
    assert torch.equal(prepared.training.x, torch.tensor(x))
    assert torch.equal(prepared.training.y, torch.tensor(x))


@pytest.mark.parametrize("normalise", ["standard", "minmax"])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e-30, -3e30])
def test_a_constant_feature_becomes_0(normalise, value):
    x = np.full((97, 2), value)
    x[:, 1] = np.arange(97)
    prepared = table(x, np.full((97, 1), value), normalise=normalise)
    assert (prepared.training.x[:, 0] == 0).all()
    assert (prepared.training.y == 0).all()
    assert (prepared.target.factor == 1).all()


def test_a_sequence_is_scaled_per_feature_over_rows_and_time():
    arrays = load("adding", {"rows": 200}, None)
    training = prepare(data(), arrays, shape_of("adding", {"rows": 200}), CPU).training.x.double()
    assert training.mean((0, 1)).abs().max() < 1e-6
    assert training.mean(0).abs().max() > 1e-2
    assert (training.std((0, 1), correction=0) - 1).abs().max() < 1e-6


def test_an_image_is_scaled_per_channel_over_rows_and_positions():
    x = (np.random.default_rng(0).random((50, 2, 4, 4)) * np.arange(1, 5) * [[[1]], [[9]]]).astype(np.float32)
    shape = DataShape("image", "classification", 50, (2, 4, 4), 2)
    training = prepare(data(), Arrays(x, np.arange(50) % 2), shape, CPU).training.x.double()
    assert training.mean((0, 2, 3)).abs().max() < 1e-6
    assert training.mean((0, 2)).abs().max() > 0.1
    assert (training.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-6


def test_targets_of_each_step_are_scaled_per_output():
    parameters = {"rows": 100, "each": True}
    prepared = prepare(data(), load("sine", parameters, None), shape_of("sine", parameters), CPU)
    assert prepared.training.y.shape == (80, 30, 1)
    assert prepared.target.offset.shape == (1,)
    assert prepared.training.y.double().std(correction=0).item() == pytest.approx(1)


def test_a_signal_is_scaled_per_channel_over_rows_and_positions():
    x = (np.random.default_rng(0).random((50, 2, 16)) * np.arange(1, 17) * [[1], [9]]).astype(np.float32)
    shape = DataShape("signal", "classification", 50, (2, 16), 2)
    training = prepare(data(), Arrays(x, np.arange(50) % 2), shape, CPU).training.x.double()
    assert training.mean((0, 2)).abs().max() < 1e-6
    assert training.mean(0).abs().max() > 0.1
    assert (training.std((0, 2), correction=0) - 1).abs().max() < 1e-6


@quick
@given(LABELS, SHARES, SEEDS, st.integers(2, 250))
def test_rows_cuts_the_training_part_alone(y, share, seed, rows):
    fewer = data(validation=share, seed=seed, rows=rows)
    training, validation = split(fewer, y, "classification")
    kept = cut(fewer, training, y, "classification")
    np.testing.assert_array_equal(validation, split(data(validation=share, seed=seed), y, "classification")[1])
    assert set(kept) <= set(training)
    assert (np.diff(kept) > 0).all()
    assert len(kept) == min(rows, len(training)) == fewer.training_rows(len(y))
    if rows >= len(np.unique(y[training])):
        assert set(y[kept]) == set(y[training])


def test_rows_are_a_random_choice_by_the_seed_in_proportion_to_the_classes():
    y = np.repeat([0, 1, 2], [500, 300, 200])

    def kept(seed):
        return cut(data(rows=100, validation=None, seed=seed), np.arange(1000), y, "classification")

    assert np.bincount(y[kept(1)]).tolist() == [50, 30, 20]
    np.testing.assert_array_equal(kept(1), kept(1))
    assert not np.array_equal(kept(1), kept(2))


def test_rows_can_be_repeated_with_numpy_alone():
    left_out = np.random.default_rng([7, 1]).permutation(50)[:30]
    kept = cut(data(seed=7, rows=20), np.arange(50), np.zeros((50, 1)), "regression")
    np.testing.assert_array_equal(kept, np.setdiff1d(np.arange(50), left_out))


def test_the_scale_is_that_of_the_rows_that_remain():
    prepared = table(np.arange(100)[:, None], np.arange(100)[:, None], rows=10)
    assert len(prepared.training) == 10
    assert len(prepared.validation) == 20
    for values in (prepared.training.x, prepared.training.y):
        assert values.double().mean(0).abs().max() < 1e-6


@quick
@given(st.integers(2, 300), st.floats(0, 1), SEEDS)
def test_label_noise_draws_that_share_anew_from_the_training_rows(rows, share, seed):
    training = np.arange(rows) * 3
    source = mislabelled(data(label_noise=share, seed=seed), training)
    assert (source != training).sum() <= round(share * rows)
    assert set(source) <= set(training)
    np.testing.assert_array_equal(source, mislabelled(data(label_noise=share, seed=seed), training))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_label_noise_changes_that_share_of_the_training_targets_and_nothing_else(share):
    x = y = np.arange(5000)[:, None]
    clean, noisy = table(x, y), table(x, y, label_noise=share)
    changed = (clean.training.y != noisy.training.y).double().mean().item()
    assert changed == pytest.approx(share, abs=0.002)
    assert torch.isin(noisy.training.y, clean.training.y).all()
    assert torch.equal(clean.training.x, noisy.training.x)
    assert torch.equal(clean.validation.x, noisy.validation.x)
    assert torch.equal(clean.validation.y, noisy.validation.y)
    assert torch.equal(clean.target.factor, noisy.target.factor)


def test_label_noise_of_1_makes_classes_independent_of_the_features_but_as_frequent():
    y = np.repeat([0, 1], [8000, 2000])
    training = table(y[:, None], y, normalise="none", validation=None, label_noise=1.0).training
    for value in (0, 1):
        assert training.y[training.x[:, 0] == value].double().mean().item() == pytest.approx(0.2, abs=0.03)


def test_label_noise_moves_the_targets_of_all_time_steps_together():
    parameters = {"rows": 100, "each": True}
    arrays, shape = load("sine", parameters, None), shape_of("sine", parameters)
    clean, noisy = (prepare(data(label_noise=share), arrays, shape, CPU).training.y for share in (0.0, 0.5))
    rows = {row.numpy().tobytes() for row in clean}
    assert all(row.numpy().tobytes() in rows for row in noisy)
    assert not torch.equal(clean, noisy)


def test_the_last_features_are_a_table_of_the_last_time_step():
    chosen = data(dataset="sine", parameters={"rows": 50}, features="last", normalise="none", validation=None)
    arrays, shape = load("sine", {"rows": 50}, None), shape_of_data(chosen)
    assert (shape.kind, shape.input_shape, shape.rows) == ("table", (1,), 50)
    assert prepare(chosen, arrays, shape, CPU).training.x.tolist() == arrays.x[:, -1].tolist()


def test_the_last_features_are_scaled_by_the_last_time_step_alone():
    chosen = data(dataset="adding", parameters={"rows": 500}, features="last")
    training = prepare(chosen, load("adding", {"rows": 500}, None), shape_of_data(chosen), CPU).training.x.double()
    assert training.mean(0).abs().max() < 1e-6
    assert (training.std(0, correction=0) - 1).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("dataset", "parameters"),
    [("xor", {}), ("digits", {}), ("signals", {}), ("copy_memory", {}), ("sine", {"each": True}), ("lookahead", {})],
)
def test_only_a_sequence_with_one_target_has_last_features(dataset, parameters):
    with pytest.raises(InvalidDefinition) as caught:
        shape_of_data(data(dataset=dataset, parameters=parameters, features="last"))
    assert [problem.pointer for problem in caught.value.problems] == ["/data/features"]
    assert shape_of_data(data(dataset=dataset, parameters=parameters)) == shape_of(dataset, parameters)


def test_tokens_and_classes_are_never_scaled():
    arrays = load("copy_memory", {"rows": 50}, None)
    prepared = prepare(data(validation=None), arrays, shape_of("copy_memory", {"rows": 50}), CPU)
    assert torch.equal(prepared.training.x, torch.tensor(arrays.x))
    assert torch.equal(prepared.training.y, torch.tensor(arrays.y))
    assert (prepared.target.offset.item(), prepared.target.factor.item()) == (0, 1)


@pytest.mark.parametrize("normalise", ["standard", "minmax", "none"])
def test_scaled_targets_are_restored_to_their_own_units(normalise):
    y = np.random.default_rng(0).normal(1e4, 50, size=(200, 3)).astype(np.float32)
    prepared = table(y, y, normalise=normalise)
    rows = split(data(), y, "regression")
    for part, indices in zip((prepared.training, prepared.validation), rows, strict=True):
        np.testing.assert_allclose(prepared.target.restore(part.y), y[indices], rtol=1e-7)


def test_tensors_are_float32_and_the_restored_double():
    prepared = table(np.eye(10), np.arange(10)[:, None])
    assert {prepared.training.x.dtype, prepared.training.y.dtype, prepared.validation.x.dtype} == {torch.float32}
    assert prepared.target.restore(prepared.training.y).dtype == torch.float64


def test_a_nan_stays_in_its_own_feature():
    x = np.random.default_rng(0).normal(size=(20, 2))
    x[:, 0] = np.nan
    training = table(x, np.arange(20) % 2).training.x
    assert training[:, 0].isnan().all()
    assert training[:, 1].isfinite().all()
