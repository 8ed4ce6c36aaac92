"""The loop, as a teacher tells it: rate, batch, step (`workers/training/step.py`); after each epoch, validate."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import nn

from models.catalogue import DataShape
from models.definitions.training import Training
from models.diagnosis.finding import Finding
from models.reports import EpochEnded, Report
from workers.training.best import Best
from workers.training.data import Prepared
from workers.training.epoch import Epoch
from workers.training.flight import FlightRecorder
from workers.training.guard import Guard
from workers.training.incidents import Failure, Incidents, Scene
from workers.training.insight import Insight
from workers.training.losses import Loss
from workers.training.metrics import NAMES, MeanLoss, meter, skill
from workers.training.optimizers import Optimizer
from workers.training.parts import Batch
from workers.training.place import Place
from workers.training.randomness import random_state, restore_random_state
from workers.training.ranks import ALONE, Ranks
from workers.training.recorder import UNSAMPLED, Recorder
from workers.training.rescue import Rescue
from workers.training.schedules import Schedule
from workers.training.state import State
from workers.training.step import StepFunction
from workers.training.stopper import Stopper
from workers.training.stopwatch import Stopwatch

EVALUATION_ROWS = 256
"""Rows at once when validating, or the batch size if that is larger."""


@dataclass
class Loop:
    """Trains a network and reports each epoch. One run of a job."""

    training: Training
    data: Prepared
    shape: DataShape
    network: nn.Module
    loss: Loss
    optimizer: Optimizer
    step: StepFunction
    schedule: Schedule
    recorder: Recorder
    guard: Guard
    flight: FlightRecorder
    incidents: Incidents
    rescue: Rescue
    insight: Insight
    stopper: Stopper
    best: Best
    constants: dict[str, float]
    """Loss of the best constant predictor, for `training` and `validation`."""
    epochs: int
    steps: int
    """Of this run, at most."""
    batches: int
    """Of an epoch."""
    autocast: Callable[[], AbstractContextManager[None]]
    """Around the forward pass: in which precision it computes."""
    seed: int
    place: Place
    report: Callable[[Report], None]
    rest: Callable[[Callable[[], State], bool], str | None]
    """Between two steps, or two batches of validation: told what gives the state, and whether an epoch ended; says why
    to leave, if so."""
    stopwatch: Stopwatch
    ranks: Ranks = ALONE
    order: torch.Generator = field(init=False)
    """Draws the order of the rows, and nothing else."""
    taken: int = 0
    """Optimizer steps of this run."""
    ended: int = 0
    """Epochs of this run that are done."""
    epoch: Epoch | None = None
    """The one under way."""
    resumed: Epoch | None = None
    """One that an earlier attempt began."""
    left: str | None = None
    """Why the loop is left before its end."""
    failure: Failure | None = None
    """If a policy ends the job."""

    def __post_init__(self) -> None:
        self.order = torch.Generator().manual_seed(self.seed)
        device = self.data.training.device
        draws = any(isinstance(module, nn.Dropout) for module in self.network.modules())
        self.remembers = draws and device.type == "cpu"
        """Whether the random state before each step is kept, for the step to be taken once more."""
        self.rescue.keep(self.place.step)

    def run(self) -> str | None:
        """Trains until the budget is used up or something stops it: gives what did, None for all epochs."""
        stopped = self.run_epochs()
        self.recorder.finish()
        return stopped

    def run_epochs(self) -> str | None:
        while self.ended < self.epochs:
            with self.stopwatch("training"):
                metrics = self.train_epoch()
            if metrics is None:
                return self.left
            if self.failure:
                self._end_failed(metrics)
                return None
            with self.stopwatch("evaluating"):
                measured = self.validate()
            if measured is None:
                return self.left
            metrics = self.ranks.agreed(metrics | measured)
            self._end_epoch(metrics)
            self._judge_epoch()
            reason = self.stopper.after_epoch(metrics, self.taken)
            if reason or self.failure:
                return reason if not self.failure else None
            if self.ended < self.epochs and self.leaves(epoch_ended=True):
                return self.left
        return None

    def train_epoch(self) -> dict[str, float | None] | None:
        """One pass over the training rows, or what is left of it; None if the loop was left on the way."""
        self.network.train()
        epoch = self.epoch = self.resumed or self.new_epoch()
        self.resumed = None
        for batches in self.steps_of_epoch(epoch.steps):
            if epoch.steps and self.stopper.out_of_budget(self.taken):
                break
            self.optimizer.rate = self.schedule.rate(self.taken) * self.rescue.factor
            sample = self.recorder.step(self.place.step)
            drawn_from = random_state(self.data.training.device) if self.remembers else None
            self.step(batches, sample, epoch.see)
            self.guard.record()
            self.taken += 1
            epoch.steps += 1
            self.place.take_step(self.report)
            if self.guard.tripped:
                self.meet_incident(epoch, drawn_from)
            if sample is not UNSAMPLED and not self.failure:
                self.act_upon(self.insight.after_sample())
            if self.failure:
                break
            if self.leaves():
                return None
        metrics = epoch.metrics(self.constants["training"]) | {"learning_rate": self.optimizer.rate}
        # Not before: this waits for the device.
        self.guard.look()
        if self.guard.tripped and not self.failure:
            self.meet_incident(epoch)
        self.incidents.end_epoch()
        return metrics

    def new_epoch(self) -> Epoch:
        return Epoch(self.shape, self.order, self.data.training.device, self.ranks)

    def steps_of_epoch(self, taken: int = 0) -> Iterator[list[Batch]]:
        """The batches of each step after those `taken`: a seeded permutation of the rows, cut."""
        part, size = self.data.training, self.training.batch_size
        order = torch.randperm(len(part), generator=self.order)
        done = taken * self.training.accumulate
        if done >= self.batches:
            return
        batches = self.ranks.batches(part, order[done * size :], size, self.batches - done)
        while step := list(islice(batches, self.training.accumulate)):
            yield step

    @property
    def first_step(self) -> int:
        """Of the run, by the job's count."""
        return self.place.step - self.taken

    def meet_incident(self, epoch: Epoch, drawn_from: State | None = None) -> None:
        """A step of this epoch was not finite; its update was not applied."""
        assert self.guard.first is not None
        # Where a policy goes on, only the first is looked into.
        in_epoch = max(0, self.guard.first - (self.taken - epoch.steps))
        part, step, epoch_before = self.data.training, self.first_step + self.guard.first, self.place.epoch

        def batches() -> list[Batch]:
            rows = self._rows_of_step(epoch, in_epoch)
            return list(self.ranks.batches(part, rows, self.training.batch_size, self.training.accumulate))

        def places() -> list[int]:
            rows = self._rows_of_step(epoch, in_epoch)
            found: list[int] = rows.tolist() if part.rows is None else part.rows[rows.numpy()].tolist()
            return found

        self.failure = self.incidents.meet(Scene(step, epoch_before, batches, places, drawn_from))

    def _rows_of_step(self, epoch: Epoch, step: int) -> torch.Tensor:
        """Of the training part, in the order that the epoch began with."""
        order, size = torch.Generator(), self.training.batch_size
        order.set_state(epoch.order)
        rows = torch.randperm(len(self.data.training), generator=order)[: self.batches * size]
        return rows[step * self.training.accumulate * size :][: self.training.accumulate * size]

    def act_upon(self, finding: Finding | None) -> None:
        """What a diagnosis has found, as the policy for it says."""
        if not self.insight.policies:
            return
        finding = self.ranks.agreed(finding)
        goes_back = finding is not None and self.insight.policies[finding.code] == "rollback_and_lower_rate"
        if finding is None or (goes_back and self._is_over):
            return  # with no step left to go another way, what was found stands
        if goes_back and self.rescue.is_left:
            self.recorder.finish()
            # What was there before the job's first step was there before the first of this run.
            self.rescue.go_back(max(finding.first_step or 0, self.first_step))
            self.guard.clear()
            self.insight.begin_anew(self.place.step)
        else:
            self.failure = Failure(finding.code.value, finding.explanation)

    @property
    def _is_over(self) -> bool:
        return self.ended >= self.epochs or self.taken >= self.steps

    def _judge_epoch(self) -> None:
        """After it is reported: its diagnosis, and what that asks for; where nothing is wrong, its end is kept."""
        self.act_upon(self.insight.after_epoch())
        if self.failure:
            self.left = "failed"
        elif self.rescue.is_wanted and bool(self.optimizer.values.isfinite().all()):
            self.rescue.keep(self.place.step)

    def leaves(self, epoch_ended: bool = False) -> bool:
        """Whether the loop ends here, between two steps, for it was asked to."""
        self.left = self.rest(self.state, epoch_ended)
        return self.left is not None

    def state(self) -> State:
        """Between two steps. What was sampled so far is reported first."""
        return {
            "recorder": self.recorder.state(),
            "guard": self.ranks.each(self.guard.state()),
            "flight": self.flight.state(),
            "incidents": self.incidents.state(),
            "rescue": self.rescue.state(),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state(),
            "schedule": self.schedule.state(),
            "stopper": self.stopper.state(),
            "random": self.ranks.each(random_state(self.data.training.device)),
            "order": self.epoch.order if self.epoch else self.order.get_state(),
            "epoch": self.ranks.each(self.epoch.state()) if self.epoch else None,
            "taken": self.taken,
            "ended": self.ended,
        }

    def restore(self, state: State) -> None:
        """Of a loop that is as it was made."""
        self.recorder.restore(state["recorder"])
        self.guard.restore(self.ranks.mine(state["guard"]))
        for name in ("flight", "incidents", "rescue"):
            getattr(self, name).restore(state[name])
        self.network.load_state_dict(state["network"])
        self.optimizer.restore(state["optimizer"])
        self.schedule.restore(state["schedule"])
        self.stopper.restore(state["stopper"])
        self.order.set_state(state["order"])
        if state["epoch"] is not None:
            self.resumed = self.new_epoch()
            self.resumed.restore(self.ranks.mine(state["epoch"]))
        self.taken, self.ended = state["taken"], state["ended"]
        restore_random_state(self.ranks.mine(state["random"]), self.data.training.device)

    @torch.inference_mode()
    def validate(self) -> dict[str, float | None] | None:
        """Loss and metrics on the validation rows, empty if there are none; None if the loop was left on the way."""
        part = self.data.validation
        if part is None:
            return {}
        self.network.eval()
        mean = MeanLoss(part.device, self.ranks)
        judged = meter(self.shape, self.data.target, part.device, self.ranks)
        size = max(EVALUATION_ROWS, self.training.batch_size)
        for x, y in self.ranks.in_order(part, size):
            if len(y):
                with self.autocast():
                    outputs = self.network(x)
                mean.add(self.loss(outputs, y), self.loss.weight(y))
                judged.add(outputs, y)
            self.place.tell(self.report)
            if self.leaves():
                return None
        loss = mean.mean()
        assert loss is not None
        metrics = {f"validation_{name}": value for name, value in judged.metrics().items()}
        return {"validation_loss": loss, **metrics, "validation_skill": skill(loss, self.constants["validation"])}

    def _end_failed(self, metrics: dict[str, float | None]) -> None:
        """The epoch in which a policy ended the job: reported as far as it came, not validated, and never the best."""
        has_validation = self.data.validation is not None
        unknown = (
            [f"validation_{name}" for name in ("loss", *NAMES[self.shape.task], "skill")] if has_validation else []
        )
        self.left = "failed"
        self._end_epoch(self.ranks.agreed(metrics | dict.fromkeys(unknown)))

    def _end_epoch(self, metrics: dict[str, float | None]) -> None:
        assert self.epoch is not None
        seconds, self.epoch = self.epoch.seconds, None
        self.ended += 1
        self.place.epoch += 1
        self.place.metrics = {"epoch": self.place.epoch, **metrics}
        watched = metrics.get("validation_loss", metrics["train_loss"])
        if watched is not None:
            self.schedule.end_epoch(watched)
        is_best = not self.failure and self.best.see(watched, self.network, self.place.metrics)
        place = self.place
        summary = self.recorder.end_epoch()
        self.report(EpochEnded(place.epoch, place.step, metrics, is_best, seconds, summary, place.run))
