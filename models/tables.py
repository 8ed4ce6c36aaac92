"""The tables. Times are Unix seconds of the database's clock; a number that is not finite is NULL."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    literal_column,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from models.metrics import METRICS
from models.series import SUMMARIES
from models.states import TERMINAL

QUEUED = "job.queued"
"""A job's first event."""
TERMINAL_EVENTS = tuple(sorted(f"job.{status}" for status in TERMINAL))

Identity = BigInteger().with_variant(Integer, "sqlite")
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {
        str: Text,
        float: Double,
        bytes: LargeBinary,
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
    }


class ApiKey(Base):
    """Who may call. Of the secret only its hash is kept."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    """Whose jobs and data sets it sees: its own id, or that of the key with which it shares them."""
    name: Mapped[str]
    scopes: Mapped[list[Any]]
    """Of `models.keys.Scope`."""
    prefix: Mapped[str]
    """Start of the secret, by which the key is found."""
    hash: Mapped[str]
    """SHA-256 of the secret, hexadecimal."""
    replaces: Mapped[str | None]
    """The key whose place it takes."""
    created_at: Mapped[float]
    expires_at: Mapped[float | None]
    last_used_at: Mapped[float | None]
    """Up to a minute behind."""

    __table_args__ = (Index("uq_api_keys_prefix", "prefix", unique=True), Index("ix_api_keys_owner", "owner", "id"))


class Job(Base):
    """One definition on its way to a result."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    """Of the API key that submitted it (`api_keys.owner`)."""
    parent: Mapped[str | None]
    origin: Mapped[str | None]
    """How it came of its parent: `retry`, `clone` or `repair`."""
    name: Mapped[str]
    tags: Mapped[list[Any]]
    priority: Mapped[int]
    definition: Mapped[dict[str, Any]]
    """With every default filled in."""
    family: Mapped[str]
    dataset: Mapped[str]
    wanted_device: Mapped[str]
    wanted_slots: Mapped[int] = mapped_column(default=1, server_default="1")
    """GPUs, or processes on the CPU."""
    wanted_memory: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """Bytes of a device, as estimated or as asked for."""
    rank: Mapped[float] = mapped_column(default=0.0, server_default="0")
    """Its place among the jobs of its owner, lowest first: when it was created, less AGEING_SECONDS for each level of
    priority."""

    status: Mapped[str]
    status_reason: Mapped[str | None]
    verdict: Mapped[str]
    version: Mapped[int] = mapped_column(default=1)
    """Rises with every change that `wait` and `ETag` speak of."""

    attempt: Mapped[int] = mapped_column(default=0)
    """Fences every write of a worker."""
    fruitless: Mapped[int] = mapped_column(default=0)
    """Consecutive attempts without progress."""
    memory_failures: Mapped[int] = mapped_column(default=0, server_default="0")
    """Attempts that ran out of memory."""
    recorded: Mapped[int] = mapped_column(default=0, server_default="0")
    """Batches of reports of this attempt that are written."""
    checkpoint: Mapped[str | None]
    """Name of the file from which the next attempt goes on."""
    checkpoint_step: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    worker: Mapped[str | None]
    device: Mapped[str | None]
    """Of the attempt; several are divided by commas."""
    queued_at: Mapped[float] = mapped_column(default=0.0, server_default="0")
    """When it was last put into the queue."""
    claimed_at: Mapped[float | None]
    """When its last attempt began."""
    lease_until: Mapped[float | None]
    """By the clock of `models.database.lease_now`."""
    lease_clock: Mapped[str | None]
    """Which clock that is: a lease by another has run out."""
    cancel_mode: Mapped[str | None]

    epoch: Mapped[int] = mapped_column(default=0)
    """Epochs completed."""
    epochs: Mapped[int]
    step: Mapped[int] = mapped_column(BigInteger, default=0)
    steps: Mapped[int | None] = mapped_column(BigInteger)
    seconds_per_step: Mapped[float | None]
    """Measured, validation included."""
    metrics: Mapped[dict[str, Any] | None]
    best: Mapped[dict[str, Any] | None]
    runs: Mapped[list[Any] | None]
    """The result of each restart: `{run, seed, epochs, stopped, best, pretraining}`."""
    error: Mapped[dict[str, Any] | None]
    timings: Mapped[dict[str, Any] | None]
    statistics_cost: Mapped[float | None]
    statistics_lost: Mapped[int] = mapped_column(default=0, server_default="0")
    """Samples that could not be written."""
    weights_sha256: Mapped[str | None]
    """Of the weights of the best epoch, once it has succeeded."""

    facts: Mapped[dict[str, Any] | None]
    """What `models.reports.Facts` reported."""
    incident: Mapped[dict[str, Any] | None]
    """The first `models.reports.Incident`."""
    diagnosis: Mapped[dict[str, Any] | None]
    """The last one without its findings: `complete verdict skill rules_version margins judged`."""
    repair: Mapped[dict[str, Any] | None]
    """Of a repair, as `models.cures` says: what it is to cure, and once it has ended what came of it."""
    remedy: Mapped[str | None]
    """Of a repair: the id of the remedy."""
    remedied: Mapped[str | None]
    """Of a repair: the finding that it is for."""
    cured: Mapped[bool | None]
    """Of a repair: whether it was; NULL until that is known."""

    request_id: Mapped[str | None]
    """Of the request that made it."""
    traceparent: Mapped[str | None]
    """The span of that request (W3C Trace Context)."""

    created_at: Mapped[float]
    started_at: Mapped[float | None]
    first_step_at: Mapped[float | None]
    reported_at: Mapped[float | None]
    """When its runner said what was recorded last of how far it is."""
    checkpoint_at: Mapped[float | None]
    """When its last checkpoint was recorded."""
    finished_at: Mapped[float | None]

    __table_args__ = (
        Index("ix_jobs_owner", "owner", "id"),
        Index("ix_jobs_owner_status", "owner", "status", "id"),
        Index("ix_jobs_worker", "worker", "status"),
        Index("ix_jobs_owner_verdict", "owner", "verdict", "id"),
        # For lists of all owners.
        Index("ix_jobs_status", "status", "id"),
        Index("ix_jobs_verdict", "verdict", "id"),
        Index("ix_jobs_parent", "parent", "id"),
        # In the order of claims, with all that a claim asks for: it reads no row but the one it takes.
        Index(
            "ix_jobs_queue",
            *("status", "owner", "rank", "id", "wanted_device", "wanted_slots", "wanted_memory", "queued_at"),
        ),
    )


OF_REPAIRS = Job.origin == literal_column("'repair'")
"""A literal, for SQLite to see that the indexes serve."""
Index("ix_jobs_repairs", Job.parent, Job.id, sqlite_where=OF_REPAIRS, postgresql_where=OF_REPAIRS)
Index(
    "ix_jobs_remedy",
    *(Job.owner, Job.remedy, Job.remedied, Job.cured),
    sqlite_where=Job.remedy.is_not(None),
    postgresql_where=Job.remedy.is_not(None),
)


class Dataset(Base):
    """An uploaded data set."""

    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    """Of the API key that uploaded it."""
    name: Mapped[str]
    status: Mapped[str]
    """`ingesting`, `ready` or `failed`."""
    format: Mapped[str]
    """`csv`, `parquet`, `npz` or `images`."""
    size: Mapped[int] = mapped_column(BigInteger)
    """Bytes as they were uploaded; so is `sha256`."""
    sha256: Mapped[str]
    fingerprint: Mapped[str]
    """Of the bytes and all options that are in force: the same twice is one data set."""
    options: Mapped[dict[str, Any]]
    """`models.ingest.options.Options`, as they were given."""
    upload: Mapped[dict[str, Any] | None]
    """Where the uploaded bytes are, as long as they are needed."""
    uploaded: Mapped[dict[str, Any] | None]
    """`models.definitions.uploaded.Uploaded`, once it is ready."""
    kind: Mapped[str | None]
    task: Mapped[str | None]
    summary: Mapped[dict[str, Any] | None]
    """Warnings, and of each column its statistics, as they are shown."""
    error: Mapped[dict[str, Any] | None]
    attempt: Mapped[int] = mapped_column(default=0)
    """At reading it; fences what is written of it."""
    lease_until: Mapped[float | None]
    """Of the process that reads it, by the clock of `models.database.lease_now`."""
    lease_clock: Mapped[str | None]
    created_at: Mapped[float]
    ready_at: Mapped[float | None]

    __table_args__ = (
        Index("ix_datasets_owner", "owner", "id"),
        Index("uq_datasets_fingerprint", "owner", "fingerprint", unique=True),
        Index("ix_datasets_status", "status"),
    )


class Use(Base):
    """A job trains on an uploaded data set. As long as the job is there, the database itself keeps the data set."""

    __tablename__ = "uses"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), primary_key=True)

    __table_args__ = (Index("ix_uses_dataset", "dataset_id"),)


class Finding(Base):
    """One finding of a job's last diagnosis."""

    __tablename__ = "findings"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    """0 is the cause."""
    owner: Mapped[str]
    """Of the job, so that a list of all that have a finding reads nothing of others."""
    code: Mapped[str]
    severity: Mapped[str]
    data: Mapped[dict[str, Any]]
    """The rest of `models.diagnosis.finding.Finding`."""

    __table_args__ = (
        Index("ix_findings_code", "owner", "code", "job_id"),
        Index("ix_findings_all", "code", "job_id"),
    )


class Event(Base):
    """The typed history of a job."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(Identity, primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    type: Mapped[str]
    at: Mapped[float]
    attempt: Mapped[int]
    data: Mapped[dict[str, Any]]

    __table_args__ = (Index("ix_events_job", "job_id", "id"),)


_terminal_event = Event.type.in_(TERMINAL_EVENTS)
Index(
    "uq_events_terminal",
    Event.job_id,
    unique=True,
    sqlite_where=_terminal_event,
    postgresql_where=_terminal_event,
)
"""Exactly one terminal event a job: the database itself refuses a second."""

OF_HISTORY = Event.type != literal_column("'job.epoch'")
"""Epochs may be a million; a job's answer shows the others. A literal, for SQLite to see that the index serves."""
Index("ix_events_history", Event.job_id, Event.id, sqlite_where=OF_HISTORY, postgresql_where=OF_HISTORY)


class Layer(Base):
    """One layer of the network as built."""

    __tablename__ = "layers"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]
    input_shape: Mapped[list[Any]]
    output_shape: Mapped[list[Any]]
    parameters: Mapped[int] = mapped_column(BigInteger)
    init: Mapped[str]
    tensors: Mapped[list[Any]]
    """`{index, name, shape}` of its parameter tensors; `index` is the column in the statistics."""


class Statistics(Base):
    """A chunk of gradient statistics: about 100 sampled steps, encoded by `models/series.py`."""

    __tablename__ = "statistics"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    series: Mapped[str] = mapped_column(primary_key=True)
    """One of `models.series.SERIES`."""
    first_step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    last_step: Mapped[int] = mapped_column(BigInteger)
    samples: Mapped[int]
    data: Mapped[bytes]


class Worker(Base):
    """A worker process and the slots it offers."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    machine: Mapped[str | None]
    """By `models.machine.name`: among workers of the same, `pid` says who lives."""
    pid: Mapped[int]
    slots: Mapped[list[Any]]
    """The device of each slot: `cpu`, `cuda:0`, ..."""
    memory_bytes: Mapped[int] = mapped_column(BigInteger)
    """Of the machine."""
    device_memory_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """Of the smallest device: a GPU's own, or the machine's."""
    bfloat16: Mapped[bool]
    """Whether the devices of its slots compute in bfloat16."""
    started_at: Mapped[float]
    heartbeat_at: Mapped[float]


class Share(Base):
    """How much an owner has used of the workers, for a fair order between owners."""

    __tablename__ = "shares"

    owner: Mapped[str] = mapped_column(primary_key=True)
    served: Mapped[float]
    """Slot-seconds; nobody is more than LEAD_SECONDS behind the owner with most."""
    attempt_seconds: Mapped[float] = mapped_column(default=0.0, server_default="0")
    """How long its attempts last, on average; later ones weigh more."""


class DeviceDay(Base):
    """How long the jobs of an owner held devices, by the day on which they let go of them."""

    __tablename__ = "device_days"

    owner: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Since 1970-01-01, by UTC."""
    seconds: Mapped[float]
    """A job that holds two devices counts twice."""


class Tally(Base):
    """Something that has happened, counted: each transaction adds rows of its own, so that none waits for another, and
    the sweeper adds them up. What is deleted stays counted."""

    __tablename__ = "tallies"

    id: Mapped[int] = mapped_column(Identity, primary_key=True, autoincrement=True)
    name: Mapped[str]
    """One of `models.tallies`."""
    label: Mapped[str]
    detail: Mapped[str]
    value: Mapped[float]


class IdempotencyKey(Base):
    """What a request made to which its client had given a key."""

    __tablename__ = "idempotency_keys"

    owner: Mapped[str] = mapped_column(primary_key=True)
    """Id of the API key that sent it: the same key of two owners is two."""
    key: Mapped[str] = mapped_column(primary_key=True)
    request: Mapped[str]
    """Fingerprint of the call and its body."""
    made: Mapped[str]
    """Id of the job, task or webhook. No foreign key: when that is deleted, a late repetition must not make another."""
    created_at: Mapped[float]

    __table_args__ = (Index("ix_idempotency_keys_created_at", "created_at"),)


class Artifact(Base):
    """One file of a job that succeeded."""

    __tablename__ = "artifacts"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    """One of `models.artifacts.NAMES`."""
    state: Mapped[str]
    """One of `models.artifacts.State`."""
    reason: Mapped[str | None]
    """Why it failed."""
    key: Mapped[str | None]
    """In the storage; so are size and sha256 NULL until it is ready."""
    size: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None]
    ready_at: Mapped[float | None]


class Task(Base):
    """Work with a job's model, for a worker to do beside the jobs."""

    __tablename__ = "tasks"

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    kind: Mapped[str]
    """One of `models.tasks.Kind`."""
    status: Mapped[str]
    """`queued`, `running`, `succeeded` or `failed`."""
    request: Mapped[dict[str, Any]]
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    attempt: Mapped[int]
    """Fences every write of a worker."""
    worker: Mapped[str | None]
    lease_until: Mapped[float | None]
    lease_clock: Mapped[str | None]
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]

    __table_args__ = (Index("ix_tasks_job", "job_id", "kind", "id"),)


OPEN = Task.finished_at.is_(None)
Index("ix_tasks_open", Task.kind, Task.id, sqlite_where=OPEN, postgresql_where=OPEN)


class Webhook(Base):
    """Whom to call when something happens to the jobs of an owner, or to one job (its `callback`)."""

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    """Of a callback: its job. NULL: all jobs of the owner."""
    name: Mapped[str]
    url: Mapped[str]
    events: Mapped[list[Any]]
    secret: Mapped[str]
    """As it is, for a hash could not sign."""
    old_secret: Mapped[str | None]
    """That it replaced, and that signs too until `old_secret_until`."""
    old_secret_until: Mapped[float | None]
    disabled_at: Mapped[float | None]
    disabled_reason: Mapped[str | None]
    created_at: Mapped[float]

    __table_args__ = (Index("ix_webhooks_owner", "owner", "job_id", "id"),)


OF_A_JOB = Webhook.job_id.is_not(None)
Index("ix_webhooks_job", Webhook.job_id, Webhook.id, sqlite_where=OF_A_JOB, postgresql_where=OF_A_JOB)


class Delivery(Base):
    """A message to a webhook. Written in the transaction of what it tells of, and so neither lost nor false."""

    __tablename__ = "deliveries"

    id: Mapped[str] = mapped_column(primary_key=True)
    """`webhook-id`, by which a receiver knows a message that comes again."""
    webhook_id: Mapped[str]
    """No foreign key: a webhook that is deleted meanwhile must not undo the move of a job."""
    owner: Mapped[str]
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    """NULL of a test call."""
    type: Mapped[str]
    at: Mapped[float]
    """When it happened."""
    status: Mapped[str]
    """One of `models.outbox.State`."""
    attempt: Mapped[int]
    """Fences every write of a sender."""
    earlier: Mapped[int]
    """Attempts before it was last asked for."""
    due_at: Mapped[float | None]
    """When to try next; while it is tried, when its sender will be taken for dead. NULL once it has ended."""
    pending_since: Mapped[float | None]
    body: Mapped[str | None]
    """Made at the first attempt, and the same at all."""
    attempts: Mapped[list[Any]]
    """The last ones: `{attempt, at, status, error, detail, seconds, answer}`."""
    ended_at: Mapped[float | None]

    __table_args__ = (
        Index("ix_deliveries_webhook", "webhook_id", "id"),
        Index("ix_deliveries_job", "job_id", "webhook_id"),
    )


PENDING = Delivery.due_at.is_not(None)
Index(
    "ix_deliveries_due",
    *(Delivery.due_at, Delivery.owner, Delivery.pending_since),
    sqlite_where=PENDING,
    postgresql_where=PENDING,
)


epochs = Table(
    "epochs",
    Base.metadata,
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("run", Integer, nullable=False),
    *(Column(name, Double) for name in METRICS),
    Column("nonfinite", JSON, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("step", BigInteger),
)
"""Metrics of each epoch. `run` is the restart, from 0; epochs count on from one to the next. `nonfinite` names the
metrics that are NULL because they were NaN or infinite. `step` counts those taken at its end; NULL in old rows."""

layer_summaries = Table(
    "layer_summaries",
    Base.metadata,
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("tensor_index", Integer, primary_key=True),
    Column("layer", Text, nullable=False),
    Column("tensor", Text, nullable=False),
    Column("samples", Integer, nullable=False),
    *(Column(name, Double) for name in SUMMARIES),
)
"""Median, p5 and p95 of each statistic over an epoch's sampled steps, for SQL without decoding anything."""
