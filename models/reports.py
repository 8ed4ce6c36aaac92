"""What a running attempt reports: the runner sends it over a pipe, `models/recording.py` writes it."""

from dataclasses import dataclass, field
from typing import Any

from models.diagnosis.finding import Diagnosis
from models.series import Summary
from models.storage import Stored


@dataclass(frozen=True)
class Built:
    """The network stands; training is about to begin."""

    layers: list[dict[str, Any]]
    """Rows of the table `layers`, without the job."""
    steps: int
    """Optimizer steps the job will take."""


@dataclass(frozen=True)
class Resumed:
    """The first report of an attempt that is not the job's first: where it goes on. What an earlier attempt recorded
    beyond that is void; all 0 and None where it begins anew."""

    step: int
    """Optimizer steps that are taken already."""
    epoch: int
    """Epochs completed."""
    metrics: dict[str, float | None] | None
    """Of the last epoch, with its `epoch`; NaN and infinities as they are."""
    best: dict[str, float | None] | None
    """Of the best epoch so far, likewise."""


@dataclass(frozen=True)
class Checkpointed:
    """A checkpoint is on the disk. Whatever was sampled before its step has been reported before it."""

    name: str
    """Of the file, in the job's folder of checkpoints."""
    step: int
    epoch: int
    size: int
    """Bytes."""
    seconds: float
    """That training waited for it."""


@dataclass(frozen=True)
class CheckpointFailed:
    """A checkpoint could not be written; training goes on, and the last one stays."""

    step: int
    detail: str


@dataclass(frozen=True)
class FirstStep:
    """The first optimizer step was taken."""

    monotonic: float
    """By the machine's monotonic clock, which runner and supervisor share."""


@dataclass(frozen=True)
class Progress:
    """How far it is. Comes every half second, also while an epoch is validated: a runner that is silent hangs."""

    step: int
    seconds_per_step: float | None = None
    """Of this attempt so far, validation and everything else included; None before its first step."""
    monotonic: float | None = field(default=None, compare=False)
    """When that was, by the clock of `FirstStep`."""


@dataclass(frozen=True)
class PhaseEnded:
    """Of a job that is traced: what its runner did for a while."""

    name: str
    """`starting`, `training`, `evaluating` or `saving`."""
    began: float
    """By the clock of `FirstStep`, as is `ended`."""
    ended: float


@dataclass(frozen=True)
class Sampled:
    """A chunk of gradient statistics."""

    first_step: int
    last_step: int
    samples: int
    data: bytes
    series: str = "tensors"
    """One of `models.series.SERIES`."""


@dataclass(frozen=True)
class StatisticsLost:
    """Samples that the database refused; training went on."""

    samples: int


@dataclass(frozen=True)
class EpochEnded:
    """An epoch is done."""

    epoch: int
    """Counted from 1."""
    step: int
    """Steps taken so far."""
    metrics: dict[str, float | None]
    """By the names of `models.metrics.METRICS`; NaN and infinities as they are."""
    best: bool
    """Whether no epoch before was better."""
    seconds: float
    summary: Summary | None = None
    """Of the gradient statistics; None if no step of the epoch was sampled."""
    run: int = 0
    """Which restart, from 0."""


BEGAN_ANEW = "began_anew"
"""The fact at which steps a policy took a run back for a finding."""


@dataclass(frozen=True)
class Facts:
    """What is measured once, most of it of the data as the network sees them. Reported when the data are prepared, and
    again where something is added: the later names win."""

    values: dict[str, Any]
    """Any of: `rows` trained on; `probe_rows` of the probe batch;
    `constant_loss` and `validation_constant_loss` of the best constant predictor;
    `input_mean`, `input_rms`, `feature_std_min`, `feature_std_max` (of features that vary), `input_nonfinite` (count);
    `target_mean`, `target_rms`, `target_std` of a regression; `class_counts` of the training rows in the order of the
    classes; `reference`: `{model: {"train_skill", "validation_skill"}}` of cheap models on the same data;
    `began_anew`, steps of the job at which a run was taken back for a finding. None for what is not finite."""


@dataclass(frozen=True)
class Incident:
    """The first NaN or infinity of a run, found before it reached the weights."""

    step: int
    """Of the job, whose update was not applied."""
    epoch: int
    """Epochs completed before."""
    place: str
    """What was not finite first: `input`, `target`, `preactivation`, `activation`, `loss`, `gradient` or `weight`."""
    layer: int | None
    """Index of the layer."""
    tensor: str | None
    """Name of the parameter, for a gradient or a weight."""
    kind: str
    """`nan`, `+inf` or `-inf`."""
    rows: list[int]
    """Indices of the batch's rows in the data set, at most 1 000."""
    action: str
    """What the policy had done: `stop`, `continue` or `rollback_and_lower_rate`."""
    checkpoint: str | None = None
    """Name of the file kept from before, if there is one."""
    count: int = 1
    """Steps that were not finite so far, each left out: 1 where the first stops the job; of a job that goes back one
    each time."""


@dataclass(frozen=True)
class Diagnosed:
    """What the job's numbers say so far; the last one of an attempt precedes its `Ended`."""

    diagnosis: Diagnosis


@dataclass(frozen=True)
class ModelKept:
    """What a job that succeeded leaves behind."""

    checkpoint: Stored | None
    """Of its best epoch, written by `workers/training/model.py`."""
    reason: str | None = None
    """Why there is none."""
    evaluation: dict[str, Any] | None = None
    """Of the validation part, as `workers/training/evaluation.py` gives it."""


@dataclass(frozen=True)
class Ended:
    """The attempt came to its end: trained, cancelled, or stopped by an error."""

    outcome: str
    """`succeeded`, `cancelled` or `failed`; or `paused` or `left`, as asked, with a checkpoint of the last step."""
    timings: dict[str, float]
    statistics_cost: float
    """Seconds spent on statistics / seconds of training."""
    error: dict[str, Any] | None = None
    runs: list[dict[str, Any]] = field(default_factory=list)
    """The result of each restart."""
    reason: str | None = None
    """What stopped it before its epochs were over."""
    weights_sha256: str | None = None
    """Of the weights of the best epoch, for a job that succeeded."""
    model: ModelKept | None = None


Report = (
    Resumed
    | Built
    | FirstStep
    | Progress
    | PhaseEnded
    | Sampled
    | StatisticsLost
    | EpochEnded
    | Checkpointed
    | CheckpointFailed
    | Facts
    | Incident
    | Diagnosed
    | Ended
)
