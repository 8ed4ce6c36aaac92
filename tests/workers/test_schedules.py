"""Each schedule gives the rates of its counterpart in torch."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from models.definitions.training import Training
from workers.training.schedules import Schedule

RATE, STEPS, PER_EPOCH = 0.02, 60, 5


def ours(plain: dict[str, Any], losses: list[float] | None = None) -> list[float]:
    training = Training.model_validate({"optimizer": {"kind": "sgd", "learning_rate": RATE}, "schedule": plain})
    schedule = Schedule(training, STEPS, PER_EPOCH)
    rates = []
    for step in range(STEPS):
        rates.append(schedule.rate(step))
        if step % PER_EPOCH == PER_EPOCH - 1 and losses:
            schedule.end_epoch(losses[step // PER_EPOCH])
    return rates


def torchs(scheduler_of: Any, each: int = 1, losses: list[float] | None = None) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], RATE)
    scheduler = scheduler_of(optimizer)
    rates = []
    for step in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step % each == each - 1 and step < STEPS - 1:
            scheduler.step(*([losses[step // each]] if losses else []))
    return rates


TWINS: dict[str, tuple[dict[str, Any], Any, int]] = {
    "step": ({"kind": "step", "every": 3, "factor": 0.5}, lambda o: lr_scheduler.StepLR(o, 3, 0.5), PER_EPOCH),
    "cosine": ({"kind": "cosine", "final_factor": 0.1},
               lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, RATE * 0.1), 1),
    "one_cycle": ({"kind": "one_cycle", "peak_factor": 8, "warmup_share": 0.25},
                  lambda o: lr_scheduler.OneCycleLR(o, RATE * 8, STEPS, pct_start=0.25, div_factor=8,
                                                    cycle_momentum=False), 1),
    "warm-up": ({"kind": "constant", "warmup_steps": 8},
                lambda o: lr_scheduler.LinearLR(o, 1 / 8, 1.0, 7), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", TWINS)
def test_a_schedule_is_torchs(name: str) -> None:
    plain, twin, each = TWINS[name]
    assert ours(plain) == pytest.approx(torchs(twin, each), rel=1e-6)


@pytest.mark.parametrize("losses", [[5, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3], [float("nan")] * 12, [1.0] * 12])
def test_plateau_is_torchs(losses: list[float]) -> None:
    rates = ours({"kind": "plateau", "patience": 2, "factor": 0.3}, losses)
    twin = torchs(lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.3, patience=2), PER_EPOCH, losses)
    assert rates == pytest.approx(twin, rel=1e-6)
    assert rates[-1] < rates[0]


def test_a_warm_up_comes_before_any_schedule() -> None:
    cosine = ours({"kind": "cosine"})
    warmed = ours({"kind": "cosine", "warmup_steps": 4})
    assert warmed[:4] == pytest.approx([rate * (step + 1) / 4 for step, rate in enumerate(cosine[:4])])
    assert warmed[4:] == cosine[4:]


def test_very_short_jobs_have_a_rate_too() -> None:
    training = Training.model_validate({"schedule": {"kind": "one_cycle"}})
    for steps in (1, 2, 3):
        schedule = Schedule(training, steps, 1)
        assert all(0 < schedule.rate(step) <= 0.01 + 1e-9 for step in range(steps))
