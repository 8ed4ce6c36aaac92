"""What the rules ask of the evidence: quantities derived from it, each computed once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.diagnosis import thresholds as at
from models.diagnosis.evidence import Evidence, Values
from models.diagnosis.finding import Measured, Severity
from models.losses import least_loss, loss_name
from models.shapes import Layer
from models.time_axis import TimeAxis, time_axis

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Reading:
    """Evidence, and what follows from it."""

    evidence: Evidence

    # How far the job is, and how well it learned

    @cached_property
    def steps(self) -> int:
        """Taken, as far as the evidence goes."""
        sampled = [int(samples.steps[-1]) + 1 for samples in self.evidence.samples.values() if len(samples)]
        ended = self.evidence.epochs["step"]
        first = min((int(samples.steps[0]) for samples in self.evidence.samples.values() if len(samples)), default=0)
        return max([*sampled, *ended[-1:].astype(int).tolist()], default=0) - first

    @cached_property
    def epochs_left(self) -> float:
        """That a running job still has, or one that was cancelled still had, by the steps of those it has done; -1 when
        it is over."""
        planned, done = self.evidence.planned_steps, len(self.evidence.epochs["step"])
        if self.has_ended or planned is None or not self.steps:
            return -1.0
        return (planned - self.steps) * done / self.steps

    @property
    def has_ended(self) -> bool:
        """By itself: a job that a client cancelled had steps left."""
        return self.evidence.complete and not self.evidence.is_abandoned

    @cached_property
    def decided(self) -> bool:
        """Whether the job is far enough to say that it failed."""
        planned = self.evidence.planned_steps
        far = planned is not None and self.steps >= max(at.DECIDED_STEPS, at.DECIDED_SHARE * planned)
        return self.has_ended or far

    @cached_property
    def diverged(self) -> bool:
        """Whether its numbers are no numbers any more."""
        epochs = self.evidence.epochs
        ends = [epochs[name][-1:] for name in ("train_loss", "validation_loss")]
        has_validation = self.evidence.definition.data.validation is not None and not self.evidence.is_cut_short
        broken = [bool((~np.isfinite(end)).any()) for end in (ends if has_validation else ends[:1])]
        return self.evidence.incident is not None or any(broken)

    @cached_property
    def attainable(self) -> float:
        """Skill of a perfect network: below 1 where targets are smoothed."""
        least = least_loss(self.evidence.definition.training, self.evidence.shape)
        return 1 - least / self.constant_loss if self.constant_loss and least < self.constant_loss else 1.0

    @cached_property
    def skill(self) -> float | None:
        """On the training rows, in the end, as a share of what is attainable; None before the first epoch is over."""
        return self._last("skill")

    @cached_property
    def learned(self) -> float | None:
        """The better of the skills on training and validation rows: dropout and noise hide what a network has learned
        from the first, over-fitting from the second."""
        skills = (self.skill, self._last("validation_skill"), self.validation_skill)
        found = [skill for skill in skills if skill is not None]
        return max(found) if found else None

    @cached_property
    def reference(self) -> float | None:
        """Skill of the best cheap model on the same data: the lower of training (left out of it) and validation."""
        models = (self.evidence.facts.get("reference") or {}).values()
        known = [[skill for skill in model.values() if skill is not None] for model in models]
        return max((min(skills) for skills in known if skills), default=None)

    @cached_property
    def failed(self) -> bool:
        """Whether the network has not learned what it could have."""
        return self.learned_little or (self.learned is not None and self.is_behind)

    @cached_property
    def learned_little(self) -> bool:
        """Whether it failed by itself, whatever a cheap model has learned."""
        return self.diverged or (self.learned is not None and self.learned < at.FAILED_SKILL)

    @cached_property
    def is_behind(self) -> bool:
        """Whether a cheap model has learned clearly more."""
        return self.reference is not None and (self.learned or 0.0) < self.reference - at.BELOW_REFERENCE

    @cached_property
    def fails_on_new_rows(self) -> bool:
        """Whether it fits its training rows, and neither its validation rows nor what cheap models get of them."""
        skill, validation = self.skill, self.validation_skill
        if self.failed or skill is None or validation is None:
            return False
        known = self.reference if self.reference is not None and self.reference >= at.INFORMATIVE else None
        behind = validation < at.FAILED_SKILL if known is None else validation < known - at.BELOW_REFERENCE
        return behind and validation < skill - at.GENERALISATION_GAP

    @cached_property
    def falls_short(self) -> bool:
        """Whether it learned something, and on new rows clearly less than it could: a fault if its cause is beyond
        doubt."""
        reached = self.skill if self.validation_skill is None else self.validation_skill
        if self.failed or reached is None:
            return self.failed
        if self.reference is not None and self.reference >= self.informative:
            return reached < self.reference - at.SHORT_OF_REFERENCE
        return reached < at.SHORT_SKILL

    @cached_property
    def informative(self) -> float:
        """Skill of a cheap model from which on it says what the data give."""
        return at.INFORMATIVE if self.evidence.shape.kind == "table" else at.INFORMATIVE_OF_PARTS

    @cached_property
    def validation_skill(self) -> float | None:
        """Of the last epoch, or of the best one where training stops for its sake; None without validation."""
        values, losses = self.evidence.epochs["validation_skill"], self.evidence.epochs["validation_loss"]
        stop = self.evidence.definition.training.stop
        if stop is not None and stop.patience is not None and np.isfinite(losses).any():
            return float(values[np.nanargmin(losses)]) / self.attainable
        return float(values[-1]) / self.attainable if len(values) and math.isfinite(values[-1]) else None

    @cached_property
    def data_give_no_more(self) -> bool:
        """Whether it learned little, and as much as cheap models that found something."""
        if self.diverged or self.learned is None or self.reference is None:
            return False
        return (
            self.learned < at.FAILED_SKILL
            and self.reference >= self.informative
            and self.learned >= max(self.reference - at.NEAR_REFERENCE, at.INFORMATIVE)
        )

    @property
    def severity(self) -> Severity | None:
        """Of what is only a fault in a job that failed: None in one that learned well."""
        if self.failed and not self.data_give_no_more:
            return Severity.FAULT if self.decided else Severity.WARNING
        return None if self.decided else Severity.WARNING

    @property
    def outcome_severity(self) -> Severity | None:
        """Likewise, of causes that also show in a network that fits its training rows and no others."""
        return Severity.FAULT if self.decided and self.fails_on_new_rows else self.severity

    @property
    def clear_severity(self) -> Severity | None:
        """Likewise, of causes beyond doubt: a fault in a job that learned, too, but less than it could."""
        return Severity.FAULT if self.decided and self.falls_short and not self.data_give_no_more else self.severity

    @property
    def mild_severity(self) -> Severity:
        """Likewise, of what is worth a warning in a job that learned well, too."""
        return self.outcome_severity or Severity.WARNING

    @cached_property
    def is_noisy(self) -> bool:
        """Whether the training loss still goes up and down from epoch to epoch in the second half."""
        skills = self.progress[len(self.progress) // 2 :]
        return self.diverged or (len(skills) > 2 and float(np.std(np.diff(skills))) > at.NOISY_SKILL)

    @cached_property
    def progress(self) -> Numbers:
        """Training skill by epoch."""
        return self.evidence.epochs["skill"]

    def _last(self, name: str) -> float | None:
        """A skill in the end: of the last epoch, or of the last three if that is better, for one may be unlucky."""
        values = self.evidence.epochs[name][-3:]
        values = values[np.isfinite(values)] / self.attainable
        return max(float(values[-1]), float(np.median(values))) if len(values) else None

    # Loss

    @cached_property
    def constant_loss(self) -> float | None:
        """Of the best constant predictor."""
        value = self.evidence.facts.get("constant_loss")
        return float(value) if value else None

    @cached_property
    def first_loss(self) -> float | None:
        """Of the first step, as a multiple of the best constant's."""
        losses = self.at_init(self.of_steps("loss"))
        if not len(losses) or self.constant_loss is None:
            return None
        return float(losses[0]) / self.constant_loss

    @cached_property
    def loss_name(self) -> str:
        return loss_name(self.evidence.definition.training, self.evidence.shape)

    # Steps

    def at_init(self, values: Values) -> Values:
        """The first of some samples, if it was taken before training."""
        return values[:0] if self.evidence.is_midway else values[:1]

    @cached_property
    def slowed(self) -> float:
        """The rate of the last epoch over that of the definition, where no schedule says so: rollbacks lowered it."""
        rates, rate = self.evidence.epochs["learning_rate"], self.evidence.definition.training.optimizer.learning_rate
        if self._has_schedule or not np.isfinite(rates[-1:]).any():
            return 1.0
        return min(float(rates[-1]) / rate, 1.0)

    @cached_property
    def is_held_back(self) -> bool:
        """Whether the schedule leaves a tenth of the rate or less, in the median of the epochs."""
        rates, rate = self.evidence.epochs["learning_rate"], self.evidence.definition.training.optimizer.learning_rate
        return self._has_schedule and bool(median(rates) <= at.HELD_BACK * rate)

    @property
    def _has_schedule(self) -> bool:
        schedule = self.evidence.definition.training.schedule
        return schedule.kind != "constant" or schedule.warmup_steps > 0

    def of_steps(self, statistic: str) -> Numbers:
        """[samples]"""
        values = self.evidence.samples["steps"].of(statistic)
        return values[:, 0] if values.shape[1] else np.empty(0)

    @cached_property
    def rho(self) -> Numbers:
        """[samples] of those whose gradient promised a fall, and one beyond rounding: momentum may carry
        a step uphill."""
        rho, predicted, loss = (self.of_steps(name) for name in ("rho", "predicted", "loss"))
        with np.errstate(invalid="ignore"):
            told = np.isfinite(rho) & (predicted < -at.ROUNDING * np.abs(loss))
        return rho[told]

    @cached_property
    def overshoots(self) -> bool:
        """Whether steps are far too long beyond doubt."""
        rho = self.rho
        return len(rho) > 0 and bool(median(rho) < at.RHO_VERY_LOW or (rho < 0).mean() > at.RHO_NEGATIVE_OFTEN)

    @cached_property
    def is_thrown(self) -> bool:
        """Whether the first steps were as long as the weights, and did not find what their gradient promised: what the
        init was chosen for is gone."""
        first = self.rho[: at.INIT_SAMPLES]
        return len(first) > 0 and bool(first.min() < at.RHO_AT_ONCE) and self.first_update > at.UPDATE_WILD

    @cached_property
    def gradient_norms(self) -> Numbers:
        """[samples] of all parameters together, before clipping."""
        norms = self.evidence.samples["tensors"].of("norm")
        with np.errstate(over="ignore"):
            return np.asarray(np.sqrt(np.square(norms).sum(axis=1)))

    # Tensors

    @cached_property
    def weights(self) -> list[int]:
        """Columns of the weight tensors of the affine maps."""
        tensors = self.evidence.architecture.tensors
        return [index for index, tensor in enumerate(tensors) if len(tensor.shape) > 1]

    @cached_property
    def update_ratios(self) -> Values:
        """||dw|| / ||w||, [samples, weight tensors]."""
        return self._columns("update_ratio", self.weights)

    @cached_property
    def median_updates(self) -> Numbers:
        """Of each weight tensor."""
        return medians(self.update_ratios)

    @cached_property
    def largest_update(self) -> float:
        """The median of the weight tensor that moves most; NaN where nothing was sampled."""
        finite = self.median_updates[np.isfinite(self.median_updates)]
        return float(finite.max()) if len(finite) else math.nan

    @cached_property
    def first_update(self) -> float:
        """The largest of any weight tensor in the first steps; NaN where nothing was sampled."""
        first = self.update_ratios[: at.INIT_SAMPLES]
        first = first[np.isfinite(first)]
        return float(first.max()) if first.size else math.nan

    @property
    def rows_of_step(self) -> int:
        training = self.evidence.definition.training
        return training.batch_size * training.accumulate

    def _columns(self, statistic: str, columns: Sequence[int]) -> Values:
        values = self.evidence.samples["tensors"].of(statistic)
        return values[:, list(columns)] if values.shape[1] else np.empty((0, len(columns)))

    # Hidden layers

    @cached_property
    def hidden(self) -> list[Layer]:
        return list(self.evidence.architecture.hidden)

    @cached_property
    def hidden_steps(self) -> NDArray[np.int64]:
        """Of the samples of the hidden layers."""
        return self.evidence.samples["layers"].steps

    def of_layers(self, statistic: str) -> Values:
        """[samples, hidden layers]; without a sample where layers were not watched."""
        values = self.evidence.samples["layers"].of(statistic)
        return values if values.shape[1] == len(self.hidden) else np.empty((0, len(self.hidden)))

    @cached_property
    def gains(self) -> Values:
        """||dL/dz of a layer|| / ||dL/dz of the next||, [samples, hidden layers]; what theory expects before the first
        step, as one sample, where layers were not watched."""
        gains, expected = self.of_layers("gain"), self.evidence.expectation.gains
        if len(gains) or not self.hidden or {layer.index for layer in self.hidden} - expected.keys():
            return gains
        return np.array([[expected[layer.index] for layer in self.hidden]])

    @cached_property
    def products(self) -> Numbers:
        """What is left at the first hidden layer of the gradient at the output, [samples]."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.exp(np.log(self.gains).sum(axis=1)) if len(self.gains) else np.empty(0)

    @cached_property
    def mean_gains(self) -> Numbers:
        """Geometric mean over the hidden layers, [samples]."""
        return np.asarray(self.products ** (1 / max(len(self.hidden), 1)))

    @cached_property
    def growth(self) -> float:
        """Of the signal forward before training: RMS of the last hidden layer's pre-activation over the first's."""
        signal = self.at_init(self.of_layers("preactivation_rms"))
        return float(signal[0, -1] / signal[0, 0]) if signal.size and signal[0, 0] > 0 else math.nan

    @cached_property
    def overflows(self) -> int | None:
        """The hidden layer in which the signal is larger than a float can be before training; None: nowhere."""
        beyond = ~np.isfinite(self.at_init(self.of_layers("preactivation_rms")))
        return int(np.argmax(beyond[0])) if beyond.any() and not beyond[0, 0] else None

    # Time

    @cached_property
    def axis(self) -> TimeAxis | None:
        return time_axis(self.evidence.architecture)

    @cached_property
    def readout(self) -> str:
        """`last`, `mean` or `each`."""
        modes = [getattr(layer.placed.layer, "mode", None) for layer in self.evidence.architecture.layers]
        return next((str(mode) for mode in modes if mode in ("last", "mean", "each")), "each")

    @cached_property
    def time_norms(self) -> Values:
        """||dL/dh_t||, [samples, directions, time steps]; time steps of a direction in the order it goes."""
        samples = self.evidence.samples["time"]
        if self.axis is None or not len(samples):
            return np.empty((0, 0, 0))
        directions, times = len(self.axis.layers), len(self.axis.time_steps)
        norms = samples.of("norm").reshape(len(samples), directions, times)
        backward = [index for index, layer in enumerate(self.axis.layers) if layer["name"].endswith("(reverse)")]
        norms[:, backward] = norms[:, backward, ::-1]
        return norms

    @cached_property
    def kept_over_time(self) -> Values:
        """||dL/dh|| at the far end of the sequence over that at the near end, [samples, directions]."""
        norms = self.time_norms
        if not norms.size:
            return np.empty((0, 0))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return norms[:, :, 0] / norms[:, :, -1]


def median(values: Numbers) -> float:
    """Of the finite ones; NaN if there are none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else math.nan


def medians(values: Values) -> Numbers:
    """Of each column."""
    return np.array([median(values[:, column]) for column in range(values.shape[1])])


def for_good(holds: NDArray[np.bool_]) -> int | None:
    """The first of the samples from which on something holds to the last; None if it does not hold in the end."""
    broken = np.flatnonzero(~holds)
    first = int(broken[-1]) + 1 if len(broken) else 0
    return first if first < len(holds) else None


def seen_in(holds: NDArray[np.bool_]) -> bool:
    """Whether something holds in enough of its samples."""
    if not len(holds):
        return False
    return bool(holds.mean() >= (at.SHARE_OF_SAMPLES if len(holds) >= at.MANY_SAMPLES else 1.0))


def measured(
    statistic: str, values: Numbers, threshold: float | None = None, expected: float | None = None
) -> Measured:
    """Median and spread of a statistic over its samples."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Measured(statistic, None, threshold, expected, len(values))
    low, middle, high = (float(value) for value in np.quantile(finite, [0.05, 0.5, 0.95]))
    return Measured(statistic, middle, threshold, expected, len(values), low, high)


def single(statistic: str, value: float | None, threshold: float | None = None) -> Measured:
    """Of one measurement."""
    finite = value is not None and math.isfinite(value)
    return Measured(statistic, value if finite else None, threshold)
