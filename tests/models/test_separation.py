"""Where two trainings part."""

import math

import numpy as np

from models.separation import separation
from models.series import Series


def a_series(steps: list[int], values: list[list[float]]) -> Series:
    return Series(np.array(steps), np.array(values))


def test_the_first_step_and_the_layer_that_is_furthest_away_are_named() -> None:
    one = a_series([0, 5, 10, 20], [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    other = a_series([0, 10, 20], [[1.1, 1.9], [3.0, 0.1], [9.0, 9.0]])
    found = separation(one, other)
    assert found is not None
    assert (found.step, found.layer, found.values) == (10, 1, (1.0, 0.1))
    assert math.isclose(found.factor, 10.0)


def test_what_is_lost_in_one_has_parted_and_what_is_lost_in_both_has_not() -> None:
    nan = float("nan")
    lost = separation(a_series([1, 2], [[nan, 1.0], [1.0, nan]]), a_series([1, 2], [[nan, 1.0], [1.0, 1.0]]))
    assert lost is not None
    assert (lost.step, lost.layer, lost.factor) == (2, 1, math.inf)
    zero = separation(a_series([1], [[0.0]]), a_series([1], [[0.0]]))
    assert zero is None


def test_series_without_a_common_step_or_column_never_part() -> None:
    assert separation(a_series([1], [[1.0]]), a_series([2], [[5.0]])) is None
    assert separation(Series(np.empty(0, np.int64), np.empty((0, 2))), a_series([2], [[5.0]])) is None
