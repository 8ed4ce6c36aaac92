"""One job, from its definition to its last epoch: data, then for each run network, pre-training, optimizer and loop."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.budget import batches_per_epoch, epochs_of, steps_of, steps_per_epoch
from models.catalogue import DataShape, shape_of_data
from models.definitions.job import JobDefinition
from models.diagnosis.diagnose import diagnose
from models.diagnosis.finding import Code
from models.expansion import has_batch_norm
from models.losses import loss_name, with_logits
from models.reports import Built, Ended, ModelKept, Report, Resumed
from models.shapes import Architecture, trace
from workers.datasets.shelf import load_data, load_validation
from workers.datasets.uploaded import NO_FILES, Files
from workers.failures import stopped_by_policy
from workers.training.best import Best
from workers.training.checkpoints import Checkpoints, Saver
from workers.training.data import Prepared, prepare
from workers.training.deployed import Deployed
from workers.training.descent import Descent
from workers.training.digest import weights_sha256
from workers.training.facts import facts
from workers.training.flight import FlightRecorder
from workers.training.graph import can_be_captured, graphed, pays
from workers.training.guard import Guard, guard_of
from workers.training.incidents import Failure, Incidents
from workers.training.insight import Insight, Judge
from workers.training.loop import Loop
from workers.training.losses import Loss, build_loss, constant_loss
from workers.training.model import evaluate, model_state
from workers.training.networks import build
from workers.training.optimizers import Optimizer, build_optimizer
from workers.training.parameters import FlatParameters
from workers.training.phases import Phases
from workers.training.place import Place
from workers.training.precision import allow_tf32, autocast_of
from workers.training.pretraining import Pretraining
from workers.training.probe import build_probe
from workers.training.ranks import ALONE, RankLost, Ranks
from workers.training.recorder import Recorder
from workers.training.reference import Skills, reference_skills
from workers.training.rescue import Rescue
from workers.training.schedules import Schedule
from workers.training.shared_norm import share_norms
from workers.training.state import State
from workers.training.step import EagerStep, SharedStep, StepFunction
from workers.training.stopper import Stopper, reason_of
from workers.training.stopwatch import Stopwatch, statistics_cost, timings


def train_job(
    definition: JobDefinition,
    datasets: Path,
    device: torch.device,
    report: Callable[[Report], None],
    asked: Callable[[], str | None],
    resident_bytes: float = math.inf,
    checkpoints: Checkpoints | None = None,
    ranks: Ranks = ALONE,
    judge: Judge = diagnose,
    files: Files = NO_FILES,
    keep: Callable[[State], ModelKept] | None = None,
    traced: bool = False,
) -> None:
    """Trains the network and reports everything on the way, the end included.

    After every step `asked` says whether to end there: "cancel", or "pause" or "leave", which a checkpoint precedes.
    Inputs of more than `resident_bytes` stay mapped and are read as they are needed. Where an earlier attempt left a
    checkpoint, the job goes on from there; None: none are written. Where several `ranks` train, all report the same,
    and of `asked` and `checkpoints` those of rank 0 count. `files` are those of uploaded data sets, by their sha256;
    `keep` stores the model of a job that succeeded. `traced`: whether its phases are reported.
    """
    stopwatch = Stopwatch(Phases(report) if traced else None)
    with stopwatch("starting"):
        saved = ranks.agreed(checkpoints.load() if checkpoints else None)
        if checkpoints and checkpoints.attempt > 1:
            report(_resumed(saved))
        job = Trainer.prepare(
            *(definition, datasets, device, report, asked, stopwatch),
            *(resident_bytes, checkpoints, saved, ranks, judge, files),
        )
    try:
        outcome = job.run()
    except RankLost:  # the attempt is lost, and not the job
        raise
    except Exception:
        job.insight.end_job("failed")
        raise
    if outcome not in ("paused", "left"):
        finding = job.insight.end_job(outcome)
        if outcome == "succeeded" and finding:
            # In a short job what depends on its outcome is only known now.
            outcome, job.failure = "failed", Failure(finding.code.value, finding.explanation)
    model = job.leave_model(keep) if outcome == "succeeded" and keep else None
    spent = timings(stopwatch, job.place.step), statistics_cost(stopwatch)
    if outcome != "succeeded":
        error = stopped_by_policy(job.failure.code, job.failure.detail) if job.failure else None
        report(Ended(outcome, *spent, error, job.runs))
        return
    assert job.network is not None
    reason = reason_of(job.stopped, definition.training)
    report(Ended(outcome, *spent, None, job.runs, reason, weights_sha256(job.network), model))


OUTCOMES = {"cancel": "cancelled", "pause": "paused", "leave": "left"}
"""What is asked of a job, and how it ends then."""


@dataclass
class Trainer:
    """What the runs of a job share."""

    definition: JobDefinition
    shape: DataShape
    """As the network sees the data."""
    architecture: Architecture
    data: Prepared
    loss: Loss
    device: torch.device
    autocast: Callable[[], AbstractContextManager[None]]
    report: Callable[[Report], None]
    asked: Callable[[], str | None]
    stopwatch: Stopwatch
    saver: Saver | None = None
    ranks: Ranks = ALONE
    place: Place = field(default_factory=Place)
    best: Best = field(default_factory=Best)
    runs: list[dict[str, Any]] = field(default_factory=list)
    """The result of each run."""
    stopped: str | None = None
    """What ended the last run before its epochs did."""
    network: nn.Module | None = None
    """Of the last run; at the end with the best weights of all."""
    pretrained: list[dict[str, Any]] | None = None
    """What pre-training did to the layers in the run under way."""
    spent: float = 0.0
    """Seconds of the runs in earlier attempts."""
    under_way: State = field(default_factory=dict)
    """Where an earlier attempt was in its run; empty between runs."""
    started: float = field(default_factory=time.monotonic)
    """The runs of this attempt."""
    out_of_time: Callable[[], bool] = lambda: False
    judge: Judge = diagnose
    """The rules."""
    failure: Failure | None = None
    """If a policy ended the job."""

    def __post_init__(self) -> None:
        self.insight = self.report = Insight(self.definition, self.report, self.judge, self.reference)
        self.wanted = self.ranks.asking(self._wanted)

    @classmethod
    def prepare(
        cls,
        definition: JobDefinition,
        datasets: Path,
        device: torch.device,
        report: Callable[[Report], None],
        asked: Callable[[], str | None],
        stopwatch: Stopwatch,
        resident_bytes: float = math.inf,
        checkpoints: Checkpoints | None = None,
        saved: State | None = None,
        ranks: Ranks = ALONE,
        judge: Judge = diagnose,
        files: Files = NO_FILES,
    ) -> "Trainer":
        """Everything up to the first run, or to where an earlier attempt `saved` its state."""
        place = Place()
        if saved:
            place.restore(saved["place"])
        data, training = definition.data, definition.training
        rows = shape_of_data(data)
        prepared = prepare(
            data,
            load_data(data, datasets, files),
            rows,
            device,
            resident_bytes,
            told=lambda: place.tell(report),
            validating=load_validation(data, files),
        )
        name = loss_name(training, rows)
        loss = build_loss(training, name, prepared.training.y, len(rows.classes))
        shape = with_logits(rows, name)
        architecture = trace(definition.network, shape)
        autocast = autocast_of(training.precision, device)
        allow_tf32(training.precision)
        saver = Saver(checkpoints, report) if checkpoints else None
        common = definition, shape, architecture, prepared, loss, device, autocast, report, asked, stopwatch
        trainer = cls(*common, saver=saver, place=place, ranks=ranks, judge=judge)
        if saved:
            trainer.restore(saved)
        return trainer

    def run(self) -> str:
        """All runs: `succeeded`, or one of OUTCOMES. The order of the draws is part of the contract."""
        training = self.definition.training
        self.started = time.monotonic()
        if training.max_seconds is not None:
            ends_at = self.started + training.max_seconds - self.spent
            self.out_of_time = self.ranks.asking(lambda: time.monotonic() >= ends_at)
        self.report(Built(layer_rows(self.architecture), training.restarts * (self.steps + self.pretraining_steps)))
        self.report(facts(self.data, self.shape, self.constants, training.batch_size))
        for run in range(self.place.run, training.restarts):
            if outcome := self.run_once(run):
                return outcome
            if self.out_of_time():
                break
            if run + 1 < training.restarts and (outcome := self._between_runs(run + 1)):
                return outcome
        assert self.network is not None
        self.best.give_to(self.network)
        return "succeeded"

    def leave_model(self, keep: Callable[[State], ModelKept]) -> ModelKept:
        """Stores the network as it is, and says how good it is on the validation part."""
        assert self.network is not None
        with self.stopwatch.apart("saving"):
            model = keep(model_state(self.definition, self.shape, self.network, self.data))
        if self.data.validation is None:
            return model
        with self.stopwatch.apart("evaluating"):
            deployed = Deployed(self.network, self.loss.name, None, self.data.target)
            tell = partial(self.place.tell, self.report)
            part, is_scaled = self.data.validation, self.shape.task == "regression"
            truth = deployed.restored if is_scaled else lambda y: y
            evaluation = evaluate(deployed, self.shape, part, self.autocast, tell, truth)
        return replace(model, evaluation=evaluation)

    @property
    def batch_norm(self) -> bool:
        return has_batch_norm(self.definition.network)

    @cached_property
    def constants(self) -> dict[str, float]:
        """Loss of the best constant predictor on `training`, and on `validation` where there is that."""
        parts = {"training": self.data.training, "validation": self.data.validation}
        return {name: constant_loss(self.loss, part.y) for name, part in parts.items() if part is not None}

    def reference(self) -> dict[str, Skills]:
        """What cheap models make of the same data; it takes up to a few seconds."""
        return reference_skills(self.data, self.shape, self.loss.name)

    @property
    def steps_per_epoch(self) -> int:
        return steps_per_epoch(len(self.data.training), self.definition.training, self.batch_norm)

    @property
    def batches_per_epoch(self) -> int:
        return batches_per_epoch(len(self.data.training), self.definition.training.batch_size, self.batch_norm)

    @property
    def steps(self) -> int:
        """Of a run's training proper."""
        return steps_of(self.definition.training, self.steps_per_epoch)

    @property
    def pretraining_steps(self) -> int:
        chosen = self.definition.training.pretraining
        return len(self.architecture.hidden) * chosen.epochs * self.batches_per_epoch if chosen else 0

    def run_once(self, run: int) -> str | None:
        """One run with the seed of its own, or the rest of it; gives the job's outcome if it ends here."""
        training = self.definition.training
        seed = (training.seed + run) % 2**32
        under_way, self.under_way = self.under_way, {}
        self.place.run = run
        if not under_way:
            self.best.begin_run()
            self.pretrained = None
        torch.manual_seed(seed)
        self.network = self.build_network()
        self.ranks.begin(seed)
        if training.pretraining and "loop" not in under_way:
            with self.stopwatch("training"):
                left = self._pretrain(seed, under_way)
            if left:
                return left
        loop = self.loop(seed, saved=under_way.get("loop"))
        recorder = loop.recorder
        self.insight.begin_run(self.steps, recorder.pending, recorder.finish, goes_on="loop" in under_way)
        # What was loaded is not held while the run goes on.
        under_way.clear()
        self.stopped = loop.run()
        self.failure = loop.failure
        result = {"run": run, "seed": seed, "first_step": loop.first_step, "epochs": loop.ended}
        best = {"stopped": self.stopped, "best": self.best.run_metrics, "pretraining": self.pretrained}
        self.runs.append(result | best)
        if loop.left not in ("paused", "left"):
            self.insight.end_run(self.best.run_loss, loop.flight.tell, is_only=training.restarts == 1)
        return loop.left

    def rest(self, under_way: Callable[[], State], epoch_ended: bool = False) -> str | None:
        """Between two steps: saves the job if that is due or asked for, and gives its outcome if it ends here."""
        wanted = self.wanted(epoch_ended)
        if wanted is None:
            return None
        if wanted != "cancel":
            with self.stopwatch.apart("saving"), torch.inference_mode(False):
                self._save(under_way)
        return OUTCOMES.get(wanted)

    def _wanted(self, epoch_ended: bool) -> str | None:
        """What is asked; else "save" when that is due."""
        asked = self.asked()
        return "save" if not asked and self.saver and self.saver.is_due(epoch_ended) else asked

    def _save(self, under_way: Callable[[], State]) -> None:
        """Rank 0 writes; the others have their part in the state."""
        if self.saver:
            self.saver.save(lambda: self.state(under_way()), self.place.step, self.place.epoch)
        elif self.ranks.rank:
            self.state(under_way())

    def state(self, under_way: State) -> State:
        return {
            "place": self.place.state(),
            "best": self.best.state(),
            "runs": self.runs,
            "pretrained": self.pretrained,
            "seconds": self.stopwatch.state(),
            "spent": self.spent + time.monotonic() - self.started,
            "under_way": under_way,
            "insight": self.insight.state(),
        }

    def restore(self, state: State) -> None:
        """All but the place, which was needed before there was a trainer."""
        self.insight.restore(state["insight"])
        self.best.restore(state["best"], self.device)
        self.stopwatch.restore(state["seconds"])
        self.runs, self.pretrained, self.spent, self.under_way = (
            state[name] for name in ("runs", "pretrained", "spent", "under_way")
        )

    def _between_runs(self, run: int) -> str | None:
        """Before a run that is not the first."""
        self.place.run = run
        return self.rest(dict)

    def _pretrain(self, seed: int, under_way: State) -> str | None:
        """Before the run proper; the outcome if the job ends here. Where its seconds are over, a layer is left as it is
        and the run goes on with one step."""
        assert self.network is not None
        part, batches, training = self.data.training, self.batches_per_epoch, self.definition.training
        pretraining = Pretraining(self.network, part, training, batches, seed, self._pretraining_step, self.ranks)
        if under_way:
            pretraining.restore(under_way["pretraining"])
            under_way.clear()
        stopped = pretraining.run()
        self.pretrained = None if stopped else pretraining.results
        return stopped if stopped in OUTCOMES.values() else None

    def build_network(self) -> nn.Module:
        """The network with fresh weights, on the device; convolutions have their channels side by side in memory."""
        network = build(self.definition.network, self.shape)
        if self.ranks.size > 1:
            share_norms(network, self.ranks)
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]

    def loop(self, seed: int, captures: bool | None = None, saved: State | None = None) -> Loop:
        """The loop of a run on the network as it is now, or where it was `saved`. `captures`: whether a step that can
        be a CUDA graph becomes one; None: where that should pay."""
        training, gradients = self.definition.training, self.definition.gradients
        assert self.network is not None
        parameters = FlatParameters(self.network)
        self.ranks.same(parameters.values)
        optimizer = build_optimizer(training, parameters)
        part, activations = self.data.training, gradients.activations
        given = self.network, parameters, self.architecture, self.loss, part, training, self.autocast
        first_step = self.place.step - (saved["taken"] if saved else 0)
        recorder = Recorder(
            self.network,
            parameters,
            self.architecture,
            self.steps,
            gradients.every_steps,
            self.report,
            self.stopwatch,
            Descent(self.network, self.loss, self.autocast, self.ranks),
            build_probe(*given, hidden_layers=activations),
            is_open=training.is_open,
            first_step=first_step,
            hidden_layers=activations,
            over_time=gradients.time,
            clips_values=training.clip is not None and training.clip.value is not None,
            ranks=self.ranks,
        )
        policy = self.definition.policies.get(Code.NONFINITE, "stop")
        guard = guard_of(self.network, parameters, goes_on=policy == "continue")
        eager, step = self.step_function(parameters, optimizer, guard, captures)
        rescue = Rescue(self.network, optimizer, "rollback_and_lower_rate" in self.definition.policies.values())
        flight = FlightRecorder(guard, first_step, self.report)
        incidents = Incidents(
            policy,
            eager,
            self.architecture,
            rescue,
            flight,
            self.report,
            lambda: self._keep_checkpoint(lambda: {"loop": loop.state()}),
            self.ranks,
        )
        loop = Loop(
            training=training,
            data=self.data,
            shape=self.shape,
            network=self.network,
            loss=self.loss,
            optimizer=optimizer,
            step=step,
            schedule=Schedule(training, self.steps, self.steps_per_epoch),
            recorder=recorder,
            guard=guard,
            flight=flight,
            incidents=incidents,
            rescue=rescue,
            insight=self.insight,
            stopper=Stopper(training, self.steps, self.out_of_time),
            best=self.best,
            constants=self.constants,
            epochs=epochs_of(training, self.steps_per_epoch),
            steps=self.steps,
            batches=self.batches_per_epoch,
            autocast=self.autocast,
            seed=seed,
            place=self.place,
            report=self.report,
            rest=lambda state, epoch_ended: self.rest(lambda: {"loop": state()}, epoch_ended),
            stopwatch=self.stopwatch,
            ranks=self.ranks,
        )
        if saved:
            loop.restore(saved)
        return loop

    def step_function(
        self, parameters: FlatParameters, optimizer: Optimizer, guard: Guard, captures: bool | None
    ) -> tuple[EagerStep, StepFunction]:
        """What takes the steps of a run: operation by operation, and as it does."""
        training = self.definition.training
        assert self.network is not None
        given = (self.network, self.loss, parameters, optimizer, training.clip, self.autocast, guard)
        if self.ranks.size > 1:
            shared = SharedStep(*given, self.ranks)
            return shared, shared
        eager = EagerStep(*given)
        rows = min(training.batch_size, len(self.data.training))
        captures = pays(self.architecture, rows, self.steps) if captures is None else captures
        if captures and can_be_captured(training, self.network, self.device):
            return eager, graphed(eager, rows, training.deterministic)
        return eager, eager

    def _keep_checkpoint(self, under_way: Callable[[], State]) -> str | None:
        """Keeps the last checkpoint, or where there is none yet what the job is now; gives its name. All ranks have
        their part in the state."""
        with self.stopwatch.apart("saving"):
            last = self.saver.keep_last() if self.saver else None
            if not self.ranks.agreed(self.saver is not None and last is None):
                return self.ranks.agreed(last)
            state = self.state(under_way())
            return self.ranks.agreed(self.saver.keep(state, self.place.step) if self.saver else None)

    def _pretraining_step(self, state: Callable[[], State]) -> str | None:
        """Why it was the last, if so: the job's outcome, or that its seconds are over."""
        self.place.take_step(self.report)
        left = self.rest(lambda: {"pretraining": state()})
        return left or ("max_seconds" if self.out_of_time() else None)


def _resumed(saved: State | None) -> Resumed:
    """Where an attempt goes on."""
    if saved is None:
        return Resumed(0, 0, None, None)
    place = saved["place"]
    return Resumed(place["step"], place["epoch"], place["metrics"], saved["best"]["metrics"])


def layer_rows(architecture: Architecture) -> list[dict[str, object]]:
    """The rows of the table `layers`; tensors carry their column in the statistics."""
    columns = {tensor.name: index for index, tensor in enumerate(architecture.tensors)}
    return [
        {
            "index": layer.index,
            "name": layer.name,
            "kind": layer.kind,
            "input_shape": list(layer.input_shape),
            "output_shape": list(layer.output_shape),
            "parameters": layer.parameters,
            "init": layer.init,
            "tensors": [
                {"index": columns[tensor.name], "name": tensor.name, "shape": list(tensor.shape)}
                for tensor in layer.tensors
            ],
        }
        for layer in architecture.layers
    ]
