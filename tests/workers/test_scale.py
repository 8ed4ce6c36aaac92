"""Statistics gathered some rows at a time, against numpy on whole arrays."""

import numpy as np
import pytest

from workers.training import scale
from workers.training.scale import FEATURE_AXES, fit

SHAPES = {"table": (2000, 5), "sequence": (200, 10, 5), "signal": (200, 5, 10), "image": (100, 5, 4, 6)}


@pytest.mark.parametrize("chunk", [1, 17, 300, 4000, 2**18])
@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("centre", [0, 1, 1e4])
def test_chunks_give_the_statistics_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, chunk: int, kind: str, centre: float
) -> None:
    monkeypatch.setattr(scale, "CHUNK_VALUES", chunk)
    rng, axes = np.random.default_rng(0), FEATURE_AXES[kind]
    values = rng.normal(centre, 2, SHAPES[kind]).astype(np.float32)
    rows = np.sort(rng.permutation(len(values))[: len(values) // 2])
    whole = values[rows].astype(np.float64)
    standard, minmax = fit(values, rows, axes, "standard"), fit(values, rows, axes, "minmax")
    np.testing.assert_allclose(standard.offset, whole.mean(axes, keepdims=True), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(standard.factor, whole.std(axes, keepdims=True), rtol=1e-12)
    low, high = whole.min(axes, keepdims=True), whole.max(axes, keepdims=True)
    np.testing.assert_array_equal(minmax.offset, low)
    np.testing.assert_array_equal(minmax.factor, high - low)


def test_what_fits_in_one_chunk_has_the_bits_of_numpy() -> None:
    values = np.random.default_rng(0).normal(3, 2, (1000, 7)).astype(np.float32)
    found = fit(values, np.arange(1000), (0,), "standard")
    np.testing.assert_array_equal(found.offset[0], values.astype(np.float64).mean(0))
    np.testing.assert_array_equal(found.factor[0], values.astype(np.float64).std(0))


def test_many_chunks_lose_nothing_of_a_small_spread_around_a_large_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "CHUNK_VALUES", 10)
    values = np.random.default_rng(0).normal(1e6, 1e-3, (20_000, 1))
    found = fit(values, np.arange(20_000), (0,), "standard")
    np.testing.assert_allclose(found.factor, values.std(0, keepdims=True), rtol=1e-6)


@pytest.mark.parametrize("normalise", ["standard", "minmax"])
def test_a_nan_in_one_chunk_and_a_constant_over_all_are_seen(monkeypatch: pytest.MonkeyPatch, normalise: str) -> None:
    monkeypatch.setattr(scale, "CHUNK_VALUES", 30)
    values = np.random.default_rng(0).normal(size=(100, 3))
    values[50, 0], values[:, 1] = np.nan, 0.1
    found = fit(values, np.arange(100), (0,), normalise)
    assert np.isnan(found.factor[0]).tolist() == [True, False, False]
    assert (found.offset[0, 1], found.factor[0, 1]) == (0.1, 1)
