"""Which steps are sampled: enough of them, not too many, and always the same."""

from typing import Literal

import pytest

from workers.training.cadence import FEWEST, MOST, cadence


def sampled(steps: int, every_steps: int | Literal["auto"] = "auto") -> list[int]:
    chosen = cadence(steps, every_steps)
    return [step for step in range(steps) if chosen.takes(step)]


@pytest.mark.parametrize("steps", [1, 2, 3, 19, 20, 21, 39, 40, 100, 999, 1000, 5000, 99_999, 400_000])
def test_auto_takes_at_least_twenty_and_about_two_thousand_at_most(steps: int) -> None:
    taken = sampled(steps)
    assert min(steps, FEWEST) <= len(taken) <= 1.1 * MOST
    assert taken[:3] == list(range(min(steps, 3)))
    assert taken[-1] == steps - 1


def test_a_number_is_honoured() -> None:
    assert sampled(10, 4) == [0, 4, 8]
    assert sampled(3, 1) == [0, 1, 2]
    assert sampled(3, 100) == [0]


def test_where_the_end_is_open_samples_grow_ever_thinner() -> None:
    chosen = cadence(10**6, "auto", is_open=True)
    assert all(chosen.takes(step) for step in range(20))
    for start in (40, 1000, 50_000):
        assert 9 <= sum(chosen.takes(step) for step in range(start, 2 * start)) <= 12
