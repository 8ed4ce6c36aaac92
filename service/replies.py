"""The shapes of answers, for the contract at /openapi.json. What is answered is made by the resources themselves."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.definitions.callback import EventName
from models.definitions.job import JobDefinition
from models.diagnosis.finding import Severity

StatusName = Literal["queued", "running", "pausing", "paused", "cancelling", "succeeded", "failed", "cancelled"]
VerdictName = Literal["healthy", "warning", "unhealthy", "unknown"]


FindingCode = Annotated[str, Field(examples=["vanishing_depth"])]
"""A text, though those of today are known: a client made from this contract has to bear those of tomorrow."""
Place = Annotated[list[int | str], Field(min_length=2, max_length=2)]
"""A step or epoch, and `nan`, `+inf` or `-inf`. No tuple: many readers of OpenAPI do not understand those."""
Cell = Annotated[list[int | str], Field(min_length=3, max_length=4)]
"""Where in a series, and `nan`, `+inf` or `-inf`."""


class Reply(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class ProblemItem(Reply):
    pointer: str
    """JSON Pointer into the body that was sent, or the name of a parameter."""
    code: str
    """Explained at `/docs/errors/{code}`."""
    detail: str
    hint: str


class ProblemReply(Reply):
    """RFC 9457. `type` leads to a page about `code`, which is stable; `detail` is for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[ProblemItem]
    request_id: str | None


class Progress(Reply):
    epoch: int
    """Epochs completed."""
    epochs: int
    step: int
    """Optimizer steps taken."""
    steps: int | None
    fraction: float
    eta_seconds: float | None
    """Of a running job, by the steps that were measured."""


class Queue(Reply):
    position: int
    """1 is next. Between owners slots are shared evenly, so jobs of others count as far as they are claimed before."""
    waiting_for: Literal["worker", "gpu", "gpus", "slots", "memory", "disk", "slot"]
    """`worker`: none was heard of lately; `gpu`: none that has one. `gpus`, `slots`: more at once than are free.
    `memory`: more than any device has free. `disk`: it is nearly full, and no job is begun."""
    eta_seconds: float | None
    """Estimated seconds until it starts; null while nothing is known."""


class JobError(Reply):
    type: str
    """Leads to a page about `code`, which is stable."""
    code: str
    title: str
    detail: str
    class_: Literal["user", "data", "memory", "numeric", "infrastructure"] = Field(alias="class")
    retryable: bool


class Passage(Reply):
    status: str
    at: str
    attempt: int


class StatisticsCost(Reply):
    fraction: float | None
    """Seconds spent on statistics as a share of the seconds of training."""
    lost_samples: int
    """Samples that could not be written, though training went on."""


class FoundReply(Reply):
    code: FindingCode
    """Explained at `/docs/findings/{code}`. There may be more than today's."""
    severity: Severity


class RepairReply(Reply):
    """A child that a remedy was applied to."""

    id: str
    status: StatusName
    verdict: VerdictName
    remedy: str
    """Its id in the diagnosis."""
    finding: str
    """That it is for."""


class EpochReply(Reply):
    """The numbers of an epoch; only those that the job has. Null where one was not finite."""

    model_config = ConfigDict(extra="allow")

    epoch: int
    train_loss: float | None = None
    """As trained: the mean over the rows."""
    validation_loss: float | None = None
    train_accuracy: float | None = None
    validation_accuracy: float | None = None
    validation_macro_f1: float | None = None
    validation_rmse: float | None = None
    """In the target's own units, as `validation_mae` is."""
    validation_mae: float | None = None
    validation_r2: float | None = None
    skill: float | None = None
    """1 less the loss by that of the best constant: 0 has learned nothing, 1 is perfect."""
    validation_skill: float | None = None
    learning_rate: float | None = None
    """Of its last step."""
    nonfinite: dict[str, str] = {}
    """Of each number that is null since it was not finite: `nan`, `+inf` or `-inf`."""


class JobReply(Reply):
    """One definition on its way to a result."""

    id: str
    name: str
    tags: list[str]
    priority: int
    """As it is now; so are name and tags, while `definition` shows what was submitted."""
    status: StatusName
    """Whether the process worked."""
    terminal: bool
    status_reason: str | None
    verdict: VerdictName
    """Whether the network learned."""
    findings: list[FoundReply]
    """The cause first; `GET …/diagnosis` says why and what would help."""
    attempt: int
    max_attempts: int
    """Attempts in a row without progress after which a lost job is failed."""
    progress: Progress
    queue: Queue | None
    metrics: EpochReply | None
    """Of the last epoch."""
    best: EpochReply | None
    """Of the epoch with the best validation loss."""
    error: JobError | None
    definition: JobDefinition
    """With every default filled in."""
    parent: str | None
    origin: Literal["retry", "clone", "repair"] | None
    """How it came of its parent."""
    repairs: list[RepairReply]
    """Its children by `POST …/repairs`, or by `repair` of the definition; the oldest first."""
    device: str | None
    worker: str | None
    runs: list[dict[str, Any]]
    """The result of each restart: its seed, epochs, best epoch, what stopped it, its pre-training."""
    weights_sha256: str | None
    """Fingerprint of the weights of the best epoch, once the job has succeeded: equal weights, equal fingerprint."""
    statistics_cost: StatisticsCost
    timings: dict[str, float] | None
    """Seconds spent queued, starting, training, evaluating and saving; steps; seconds_per_step."""
    created_at: str
    started_at: str | None
    first_step_at: str | None
    finished_at: str | None
    history: list[Passage]
    links: dict[str, str]


class MeasuredReply(Reply):
    statistic: str
    value: float | None
    """Median over the samples; null where it was not finite."""
    threshold: float | None
    """At which the finding begins."""
    expected: float | None
    """By theory."""
    samples: int
    p5: float | None
    p95: float | None


class RemedyReply(Reply):
    id: str
    patch: list[dict[str, Any]]
    """RFC 6902, on the job's definition."""
    expected: str
    """What should be measured then."""


class FindingReply(FoundReply):
    explanation: str
    evidence: list[MeasuredReply]
    layers: list[int]
    """Indices in `GET …/layers`."""
    first_step: int | None
    """Where it was first seen."""
    consequences: list[FindingCode]
    """Findings that are true too, and follow from this one."""
    remedies: list[RemedyReply]
    """The best first."""


class IncidentReply(Reply):
    """The first NaN or infinity, found before it reached the weights."""

    step: int
    epoch: int
    place: Literal["input", "target", "preactivation", "activation", "loss", "gradient", "weight"]
    layer: int | None
    tensor: str | None
    kind: Literal["nan", "+inf", "-inf"]
    rows: list[int]
    """Of the data set, those of the batch."""
    action: Literal["stop", "continue", "rollback_and_lower_rate"]
    checkpoint: str | None
    count: int
    """Steps that were not finite so far, each left out: 1 where the first stops the job; of a job that goes back one
    each time."""


class GoneReply(Reply):
    code: FindingCode
    gone: bool


class ChangeReply(Reply):
    """Of the best epoch of each, whose weights are the artifacts."""

    name: Literal["validation_skill", "skill"]
    before: float | None
    after: float | None


class CureReply(Reply):
    """What a repair is for, and once it has ended what came of it; a repair that was cancelled or whose worker was lost
    says nothing of its remedy."""

    of: str
    """Its parent."""
    remedy: str
    finding: str
    findings: list[GoneReply] = []
    """Those of its parent."""
    metric: ChangeReply | None = None
    cured: bool | None = None
    """Whether it succeeded without any fault, the finding that the remedy is for is gone, not even a warning, and the
    metric has not fallen by more than 0.02."""


class DiagnosisReply(Reply):
    job: str
    complete: bool
    """Whether the job has ended."""
    verdict: VerdictName
    skill: float | None
    rules_version: str
    findings: list[FindingReply]
    """The cause first."""
    margins: dict[str, float]
    """By code, how many times further a statistic could go before the finding were true."""
    incident: IncidentReply | None = None
    repair: CureReply | None = None


class TriedReply(Reply):
    remedy: str
    finding: str
    """That it was for."""
    tried: int
    ended: int
    """Repairs that say something of the remedy."""
    cured: int
    success_rate: float | None
    """`cured` of `ended`."""


class RemediesReply(Reply):
    items: list[TriedReply]
    next: None


class JobsReply(Reply):
    items: list[JobReply]
    next: str | None
    """Goes into `after`; null at the end."""


class SlotReply(Reply):
    device: str
    busy: bool
    job: str | None
    """The job that holds it, if it is yours."""
    since: str | None


class WorkerReply(Reply):
    id: str
    host: str
    pid: int
    alive: bool
    """Heard of within DESCENT_LEASE_SECONDS."""
    started_at: str
    heartbeat_at: str
    memory_bytes: int
    device_memory_bytes: int
    """Of its smallest device."""
    bfloat16: bool
    slots: list[SlotReply]


class WorkersReply(Reply):
    items: list[WorkerReply]
    next: None


class QueuedReply(Queue):
    id: str
    name: str
    priority: int
    queued_at: str
    """When it was last put into the queue."""


class QueueReply(Reply):
    items: list[QueuedReply]
    """Yours, in the order in which they will be claimed."""
    next: str | None
    waiting: int
    """Jobs of all owners."""
    running: int
    """Jobs of all owners that hold slots."""
    slots: int
    """Of all workers that are alive."""


class EventReply(Reply):
    id: int
    type: str
    at: str
    attempt: int
    data: dict[str, Any]


class EventsReply(Reply):
    items: list[EventReply]
    next: str | None


class MetricsReply(Reply):
    """Columns by name, all of one length; only those that the job has."""

    model_config = ConfigDict(extra="allow")

    epoch: list[int]
    train_loss: list[float | None] = []
    validation_loss: list[float | None] = []
    train_accuracy: list[float | None] = []
    validation_accuracy: list[float | None] = []
    validation_macro_f1: list[float | None] = []
    validation_rmse: list[float | None] = []
    validation_mae: list[float | None] = []
    validation_r2: list[float | None] = []
    skill: list[float | None] = []
    validation_skill: list[float | None] = []
    learning_rate: list[float | None] = []
    nonfinite: dict[str, list[Place]]
    """Of each metric the epochs where it was `nan`, `+inf` or `-inf`, which the columns show as null."""


class TensorReply(Reply):
    index: int
    """Its column in the gradients."""
    name: str
    shape: list[int]
    latest: dict[str, float | None] | None
    """Median of each statistic over the latest epoch that has samples."""


class LayerReply(Reply):
    index: int
    name: str
    kind: str
    input_shape: list[int]
    output_shape: list[int]
    parameters: int
    init: str
    tensors: list[TensorReply]


class LayersReply(Reply):
    items: list[LayerReply]
    next: None


class ColumnReply(Reply):
    index: int
    """Of the parameter tensor as in `layers`, of the hidden layer among all of them, or of the direction; 0 of a
    step."""
    layer: int | None
    """None of what is measured of a step as a whole."""
    name: str
    kind: str
    """`weight` or `bias`, the kind of the layer, or `step`."""


class GradientsReply(Reply):
    statistic: str
    layers: list[ColumnReply]
    """One for each column of `values`."""
    steps: list[int]
    values: list[list[float | None]]
    """[step][column]"""
    nonfinite: list[Cell]
    """Step, column, and `nan`, `+inf` or `-inf`, where `values` is null."""


class TimeGradientsReply(Reply):
    """Norms of dL/dh_t."""

    layers: list[ColumnReply]
    """One for each direction of a recurrent layer."""
    time_steps: list[int]
    """From 0. All of a short sequence; of a long one the last ones, and ever fewer before them."""
    steps: list[int]
    values: list[list[list[float | None]]]
    """[step][layer][time step]"""
    nonfinite: list[Cell]
    """Step, layer, time step, and `nan`, `+inf` or `-inf`, where `values` is null."""


class FlightReply(Reply):
    """The last steps before a fault, as columns."""

    step: list[int]
    loss: list[float | None]
    """Of its batches."""
    gradient_norm: list[float | None]
    """Of the whole gradient, before clipping."""
    applied: list[bool]
    """Whether the update was: not where loss or gradient was not finite."""
    nonfinite: dict[Literal["loss", "gradient_norm"], list[Place]]
    """By column the steps where it is null, with `nan`, `+inf` or `-inf`."""


class WarningOfDataset(Reply):
    code: str
    detail: str
    pointer: str
    """The option that would correct it, or `/file`."""


class CountReply(Reply):
    value: str
    rows: int


class HistogramReply(Reply):
    edges: list[float]
    """Of the bins, one more than there are bins."""
    rows: list[int]
    """In each bin."""


class TableColumn(Reply):
    name: str
    kind: Literal["number", "boolean", "category", "time", "text"] | None = None
    missing: int
    """Rows without a value."""
    distinct: int | None = None
    """Different values, where they were counted."""
    fill: float | None = None
    """What is taken for a missing number or boolean: the median."""
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = None
    median: float | None = None
    counts: list[CountReply] | None = None
    """Of categories, booleans and few whole numbers: the most frequent ones."""
    histogram: HistogramReply | None = None


class WindowReply(Reply):
    length: int
    horizon: int
    stride: int


class DatasetError(Reply):
    type: str
    """Leads to a page about `code`, which is stable."""
    code: str
    title: str
    detail: str
    errors: list[ProblemItem]


class DatasetReply(Reply):
    id: str
    """Of a built-in one its name."""
    name: str
    builtin: bool
    status: Literal["ingesting", "ready", "failed"]
    description: str
    kind: Literal["table", "image", "signal", "sequence", "tokens"] | None
    """Null as long as it is not read."""
    task: Literal["classification", "regression"] | None
    """Null as long as there is no target; so are `input_shape` and `outputs`."""
    rows: int | None
    """As a network sees them; of series the number of sequences."""
    input_shape: list[int] | None
    """Of one row, once categories are one-hot."""
    outputs: int | None
    classes: list[str]
    per_step: bool
    vocabulary: int
    parameters: dict[str, Any]
    """JSON Schema of the parameters that a generated one takes."""
    format: Literal["csv", "parquet", "npz", "images"] | None = None
    size: int | None = None
    """Bytes that were uploaded."""
    sha256: str | None = None
    """Of those."""
    target: str | None = None
    features: list[str] | None = None
    """Of a table: what a network is given."""
    group: str | None = None
    time: str | None = None
    window: WindowReply | None = None
    columns: list[TableColumn] = []
    """Of an NPZ or of images `x` and `y`."""
    warnings: list[WarningOfDataset] = []
    error: DatasetError | None = None
    """Of a `failed` one."""
    created_at: str | None = None
    ready_at: str | None = None
    links: dict[str, str] = {}


class DatasetsReply(Reply):
    items: list[DatasetReply]
    next: str | None


class PreviewReply(Reply):
    columns: list[str]
    rows: list[list[Any]]


class EstimatedLayer(Reply):
    index: int
    name: str
    kind: str
    output_shape: list[int]
    parameters: int
    flops: int
    """Of a row's forward pass: 2 for each multiplication and addition of affine maps."""
    activation_bytes: int
    """Kept for the backward pass of a batch."""
    gain: float | None
    """Of a hidden layer: the expected ||dL/dz|| of this layer / that of the next, by mean field theory."""
    time_gain: float | None
    """Of a plain rnn: the expected ||dL/dh_t|| / ||dL/dh_t+1||."""


class EstimatedTotal(Reply):
    parameters: int
    flops: int
    parameter_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    activation_bytes: int
    """Of a batch."""


class WarningReply(Reply):
    code: Annotated[str, Field(examples=["too_large", "wrong_output", "constant_init", "vanishing_depth"])]
    detail: str
    pointer: str


class EstimateReply(Reply):
    """What a job would take, and what to expect of it."""

    layers: list[EstimatedLayer]
    total: EstimatedTotal
    depth_budget: float | None
    """Layers like these after which a thousandth of the gradient is left; null where it does not shrink."""
    warnings: list[WarningReply]


class ChapterReply(Reply):
    """A claim about neural networks, and the jobs that show it."""

    name: str
    place: int
    title: str
    claim: str
    why: str
    expected: str
    jobs: dict[str, JobDefinition]
    """Definitions to be posted as they are."""
    estimates: dict[str, Any] = {}
    """Definitions for `POST /v1/estimates`."""
    checks: list[dict[str, Any]]
    """What has to hold: a measure of one of the jobs, and its bound."""
    diagnoses: dict[str, list[FindingCode]]
    """Of each job that fails: what its diagnosis says first is one of these. The other jobs have no fault."""
    repairs: dict[str, dict[str, Any]]
    """What the repair of a job comes to, or the repair of a repair that still has a fault: a measure, and its bound."""


class TextbookReply(Reply):
    items: list[ChapterReply]
    next: None


class ArtifactReply(Reply):
    name: str
    state: Literal["pending", "ready", "failed"]
    """`failed` is final; `reason` tells why."""
    reason: str | None
    size: int | None
    """Bytes; null until it is ready, as sha256 is."""
    sha256: str | None
    media_type: str
    ready_at: str | None
    url: str


class ArtifactsReply(Reply):
    items: list[ArtifactReply]
    next: str | None


class PredictionsReply(Reply):
    outputs: list[Any]
    """In the order of the rows: `{"class", "probabilities"}` of a classification, `{"value"}` of a regression, or a
    list of these, one for each time step."""


class ClassReply(Reply):
    """Null where nothing can be divided: of a class that was never predicted, or never there."""

    model_config = ConfigDict(populate_by_name=True)
    name: str = Field(alias="class")
    precision: float | None
    recall: float | None
    f1: float | None
    support: int
    """Rows of this class."""


class BinReply(Reply):
    from_: float = Field(alias="from")
    """Confidences above this, up to `to`."""
    to: float
    rows: int
    confidence: float | None
    """The mean of its rows."""
    accuracy: float | None


class CalibrationReply(Reply):
    ece: float | None
    """Expected calibration error over 15 bins of equal width (Guo et al. 2017): the mean distance of confidence and
    accuracy, weighted by rows."""
    bins: list[BinReply]


class ResidualsReply(Reply):
    """Of one output: prediction less truth, in the target's own units."""

    rmse: float
    mae: float
    r2: float | None
    mean: float
    std: float
    min: float
    p5: float
    p25: float
    median: float
    p75: float
    p95: float
    max: float
    histogram: dict[str, list[float]]
    """`edges`, one more than `counts`."""


class MeasuredEvaluation(Reply):
    """Of a classification `accuracy macro_f1 log_loss classes confusion calibration`, of a regression `rmse mae r2
    outputs`."""

    task: Literal["classification", "regression"]
    rows: int
    """Time steps, where each has a target."""
    nonfinite: int
    """Rows whose outputs were not finite; they count nowhere else."""
    accuracy: float | None = None
    macro_f1: float | None = None
    log_loss: float | None = None
    """In nats."""
    classes: list[ClassReply] = []
    confusion: list[list[int]] | None = None
    """[truth][prediction], in the order of `classes`; null where there are more than 200."""
    calibration: CalibrationReply | None = None
    rmse: float | None = None
    mae: float | None = None
    r2: float | None = None
    outputs: list[ResidualsReply] = []


class TaskReply(Reply):
    """Work with a job's model, done by a worker beside the jobs."""

    id: str
    job: str
    status: Literal["queued", "running", "succeeded", "failed"]
    request: dict[str, Any]
    error: JobError | None
    created_at: str
    started_at: str | None
    finished_at: str | None


class EvaluationReply(TaskReply):
    result: MeasuredEvaluation | None


class EvaluationsReply(Reply):
    items: list[EvaluationReply]
    next: str | None


class PredictionFile(Reply):
    rows: int
    size: int
    sha256: str
    url: str


class PredictionReply(TaskReply):
    result: PredictionFile | None


class PredictionListReply(Reply):
    items: list[PredictionReply]
    next: str | None


class KeyReply(Reply):
    """An API key, without its secret."""

    id: str
    owner: str
    """Whose jobs and data sets it sees; keys of the same owner share them."""
    name: str
    scopes: list[Literal["read", "write", "metrics", "admin"]]
    prefix: str
    """The start of its secret."""
    replaces: str | None
    """The key whose place it took."""
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    """Up to a minute behind."""
    expired: bool


class KeysReply(Reply):
    items: list[KeyReply]
    next: str | None


class NewKeyReply(KeyReply):
    secret: str
    """Shown this once: `Authorization: Bearer dsc_...`."""


class WebhookReply(Reply):
    """Whom to call when something happens to jobs, without its secret."""

    id: str
    name: str
    url: str
    events: list[EventName]
    job: str | None
    """Of a callback: the job it is of. Null: all jobs of its owner."""
    enabled: bool
    disabled_at: str | None
    disabled_reason: str | None
    old_secret_until: str | None
    """Until then messages are signed by the secret before this one too."""
    created_at: str
    links: dict[str, str]


class WebhooksReply(Reply):
    items: list[WebhookReply]
    next: str | None


class NewWebhookReply(WebhookReply):
    secret: str
    """Shown this once."""


class AttemptReply(Reply):
    attempt: int
    at: str
    """When it ended."""
    status: int | None
    """Of the receiver's answer; null where there was none."""
    error: (
        Literal[
            "status",
            "redirected",
            "gone",
            "refused_address",
            "no_address",
            "no_connection",
            "timeout",
            "tls",
            "broken",
            "disabled",
        ]
        | None
    )
    """Null where it was delivered."""
    detail: str | None
    answer: str | None
    """How the body of the answer begins."""
    seconds: float


class ListedDelivery(Reply):
    id: str
    """The header `webhook-id`."""
    webhook: str
    job: str | None
    """Null of a test call."""
    type: EventName | Literal["webhook.ping"]
    status: Literal["pending", "delivered", "failed"]
    """`failed`: it was given up, after all attempts, at once where no webhook may go there, or by a 410."""
    at: str
    """When it happened."""
    next_attempt_at: str | None
    """During an attempt: when another would follow if its sender were lost."""
    ended_at: str | None
    attempts: list[AttemptReply]
    """The last 20."""
    links: dict[str, str]


class DeliveriesReply(Reply):
    items: list[ListedDelivery]
    next: str | None


class DeliveryReply(ListedDelivery):
    body: str | None
    """As it is sent; null before the first attempt."""


class Used(Reply):
    used: float
    limit: float | None


class UsedForATime(Used):
    reset_seconds: int
    """Until it begins anew."""


class UsageReply(Reply):
    key: str
    owner: str
    scopes: list[str]
    requests_per_minute: UsedForATime
    queued_jobs: Used
    stored_bytes: Used
    """Uploads as they were sent, and the files of jobs."""
    device_seconds: UsedForATime
    """Today (UTC): of attempts that have ended, and of those that run. A job on two devices counts twice."""


class HealthReply(Reply):
    status: Literal["ok"]


class ReadyReply(Reply):
    status: Literal["ready"]
    degraded: list[str]
    """`broker`: jobs are accepted, and found by the workers without it. `disk`: it is nearly full, and takes none."""
