"""Chunks give back what was put in, bit for bit; thinning keeps what matters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.series import HEADER, STATISTICS, Chunk, CorruptChunk, Piece, Series, assemble, summarise, thin

floats = st.floats(width=32, allow_nan=True, allow_infinity=True)
chunks = st.tuples(st.integers(1, 6), st.integers(1, 5)).flatmap(
    lambda size: arrays(np.float32, (size[0], len(STATISTICS), size[1]), elements=floats)
)


def a_chunk(steps: list[int], norm: list[list[float]]) -> bytes:
    """Of a job with as many tensors as `norm` has columns; all other statistics are 0."""
    values = np.zeros((len(steps), len(STATISTICS), len(norm[0])), np.float32)
    values[:, 0, :] = norm
    return Chunk(np.array(steps), values).encode()


@given(chunks)
def test_a_chunk_comes_back_bit_for_bit(values: np.ndarray) -> None:
    steps = np.arange(len(values)) * 7
    decoded = Chunk.decode(Chunk(steps, values).encode())
    assert decoded.steps.tolist() == steps.tolist()
    assert decoded.values.tobytes() == values.tobytes()


def test_a_chunk_takes_four_bytes_a_number_and_eight_a_step() -> None:
    encoded = Chunk(np.arange(100), np.zeros((100, 8, 10), np.float32)).encode()
    assert len(encoded) == HEADER.size + 8 + 100 * 8 + 100 * 8 * 10 * 4


@pytest.mark.parametrize("cut", [0, 3, 20, -1])
def test_half_a_chunk_is_refused(cut: int) -> None:
    with pytest.raises(CorruptChunk):
        Chunk.decode(a_chunk([0, 1], [[1.0], [2.0]])[:cut])


def test_one_statistic_is_assembled_from_its_chunks_in_a_range_of_steps() -> None:
    data = [a_chunk([0, 5], [[1, 2], [3, 4]]), a_chunk([10, 15], [[5, 6], [7, 8]])]
    pieces = [Piece.of(chunk, "norm") for chunk in data]
    whole = assemble(pieces)
    assert (whole.steps.tolist(), whole.values.tolist()) == ([0, 5, 10, 15], [[1, 2], [3, 4], [5, 6], [7, 8]])
    part = assemble(pieces, columns=[1], from_step=5, to_step=10)
    assert (part.steps.tolist(), part.values.tolist()) == ([5, 10], [[4], [6]])
    assert assemble([Piece.of(chunk, "mean") for chunk in data]).values.sum() == 0
    assert assemble([]).steps.tolist() == []


@given(chunks)
def test_a_piece_is_one_statistic_of_its_chunk(values: np.ndarray) -> None:
    data = Chunk(np.arange(len(values)), values).encode()
    for number, statistic in enumerate(STATISTICS):
        steps, found = Piece.of(data, statistic).decode()
        assert steps.tolist() == list(range(len(values)))
        assert found.tobytes() == values[:, number].tobytes()


def test_a_chunk_that_is_older_than_a_statistic_has_nan_for_it() -> None:
    data = Chunk(np.array([3, 4]), np.ones((2, 5, 3), np.float32)).encode()
    steps, values = Piece.of(data, "norm_clipped").decode()
    assert (steps.tolist(), values.shape) == ([3, 4], (2, 3))
    assert np.isnan(values).all()


@pytest.mark.parametrize("cut", [(-1, None), (None, -1), (10, None)])
def test_half_a_piece_is_refused(cut: tuple[int | None, int | None]) -> None:
    piece = Piece.of(a_chunk([0, 1], [[1.0], [2.0]]), "norm")
    with pytest.raises(CorruptChunk):
        Piece(piece.head[: cut[0]], piece.values[: cut[1]]).decode()


def test_thinning_keeps_the_ends_and_every_extreme() -> None:
    values = np.ones((10_000, 2))
    values[1234, 1], values[7777, 0], values[4321] = 50, np.nan, 1e-9
    kept = thin(values, 100).tolist()
    assert len(kept) <= 100
    assert {0, 1234, 4321, 7777, 9999} <= set(kept)
    assert kept == sorted(kept)


@pytest.mark.parametrize("points", [1, 2, 3, 4, 5, 9, 10, 11, None])
def test_thinning_never_shows_more_than_asked(points: int | None) -> None:
    kept = thin(np.arange(10.0)[:, None], points)
    assert len(kept) <= (points or 10)


@pytest.mark.parametrize("samples", [1, 2, 3, 20, 101])
def test_a_summary_is_numpys_quantiles(samples: int) -> None:
    values = np.random.default_rng(0).normal(size=(samples, len(STATISTICS), 3)).astype(np.float32)
    found = summarise(["a.w", "a.b", "c.w"], values)
    expected = np.quantile(values.astype(float), [0.05, 0.5, 0.95], axis=0)
    np.testing.assert_allclose(found.quantiles, expected, rtol=1e-12)
    row = found.rows()[2]
    assert (row["tensor_index"], row["layer"], row["tensor"], row["samples"]) == (2, "c", "c.w", samples)
    assert row["norm_p95"] == found.quantiles[2, STATISTICS.index("norm"), 2]


def test_a_summary_of_what_is_not_finite_is_null() -> None:
    values = np.ones((5, len(STATISTICS), 3), np.float32)
    values[2, 0, 0], values[:, 0, 1] = np.nan, np.inf
    rows = summarise(["a", "b", "c"], values).rows()
    assert [row["norm_median"] for row in rows] == [None, None, 1.0]


def test_rounded_values_are_written_with_so_many_digits_and_no_more() -> None:
    values = np.array([[1 / 3, 1.23456e-24, -98765.0], [0.0, np.nan, -np.inf]], np.float32)
    rounded = Series(np.array([0, 1]), values).rounded(4).plain()
    assert rounded["values"] == [[0.3333, 1.235e-24, -98760.0], [0.0, None, None]]
    assert rounded["nonfinite"] == [[1, 1, "nan"], [1, 2, "-inf"]]
