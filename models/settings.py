"""Every setting of Descent: read once from the environment as `DESCENT_<NAME>`, then frozen."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from models.masking import HIDDEN

PREFIX = "DESCENT_"
OF_CLIENTS = {"url"}
"""Variables that the command line reads, in whose environment a service may be started."""
SECRET = ("api_key", "database_url", "broker_url", "storage_url")
"""Settings whose values may have secrets in them."""
Count = Annotated[int, Field(ge=1)]


class InvalidSettings(Exception):
    """A setting has a wrong value; the text names it."""


class Settings(BaseModel):
    """What the environment may decide. A wrong value is refused at start, by name."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    data: Path = Path("var")
    """Folder for everything Descent keeps on disk."""
    host: str = "127.0.0.1"
    """Address the API listens on."""
    hosts: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:*, -]*$")] = ""
    """Names of the service in URLs, with commas between them, besides loopback's, this machine's and `DESCENT_HOST`;
    `*`: any. Pages of these names may call it, whatever their port."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8700
    """Port of the API; 0 takes any free one."""
    database_url: str = ""
    """SQLAlchemy URL, `sqlite:///…` or `postgresql+psycopg://…`; default: an SQLite file in the data folder."""
    broker_url: str = ""
    """Celery broker, `redis://…`; default: files in the data folder."""
    storage_url: Annotated[str, Field(pattern=r"^((file:///|s3://[^/]).*)?$")] = ""
    """Where data sets and models are kept, `s3://bucket/prefix` or `file:///folder`; default: `objects` in the data
    folder. S3 takes credentials, region and endpoint from the variables of AWS (`AWS_ACCESS_KEY_ID`, ...)."""
    cache_bytes: Annotated[int, Field(ge=0)] = 20_000_000_000
    """Most bytes of copies from S3 that a machine keeps; those used last are kept."""
    api_key: Annotated[str, Field(pattern=r"^([!-~]{32,})?$")] = ""
    """The bootstrap key, at least 32 printable characters; default: made at first start and kept in the data folder."""
    slots: Annotated[int, Field(ge=0)] = 0
    """Jobs a worker runs at once; 0: one for each GPU, else half the cores."""
    slots_per_gpu: Count = 1
    """Jobs that share a GPU, as far as its memory goes for what they are estimated to need."""
    lease_seconds: Annotated[float, Field(gt=0)] = 60.0
    """How long a worker's claim on a job holds without a heartbeat; heartbeats come six times as often."""
    sweep_seconds: Annotated[float, Field(gt=0)] = 15.0
    """How often a worker looks for jobs whose lease ran out."""
    idle_poll_seconds: Annotated[float, Field(gt=0)] = 2.0
    """How often an idle worker looks for work without being rung."""
    max_attempts: Count = 3
    """Attempts in a row without progress after which a lost job is failed."""
    stall_seconds: Annotated[float, Field(gt=0)] = 300.0
    """A runner whose job does not advance for so long is killed, as a lost attempt. A single step or evaluation batch
    that takes longer needs more."""
    task_seconds: Annotated[float, Field(gt=0)] = 3600.0
    """An export, an evaluation or a file of predictions that takes longer is ended."""
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 60.0
    """How often a running job writes a checkpoint; the first comes earlier."""
    checkpoint_retention_seconds: Annotated[float, Field(ge=0)] = 86_400.0
    """How long the last checkpoint of a job that has ended is kept."""
    free_disk_bytes: Annotated[int, Field(ge=0)] = 200_000_000
    """Where less is free on the disk of the data folder, neither jobs nor uploads are accepted, and no job is begun."""
    memory_bytes: Annotated[int, Field(ge=0)] = 0
    """Memory a job may need; 0: the largest registered worker's, else this machine's."""
    resident_bytes: Annotated[int, Field(ge=0)] = 0
    """Most bytes of inputs a job keeps in memory; 0: half this machine's memory, divided by its slots."""
    body_bytes: Count = 1_000_000
    """Largest body of a request."""
    prediction_bytes: Count = 16_000_000
    """Largest body of rows to predict; more of them go as a file."""
    models: Count = 16
    """Most models that a process of the API holds to predict with."""
    models_bytes: Count = 100_000_000
    """Most bytes of these models; a larger one predicts only on a worker."""
    upload_bytes: Count = 2_000_000_000
    """Largest upload of a data set."""
    unpacked_bytes: Count = 20_000_000_000
    """Most bytes that an uploaded zip or NPZ may have when it is unpacked."""
    url_sources: Annotated[str, Field(pattern=r"^(s3://[^, ]+(, ?s3://[^, ]+)*)?$")] = ""
    """Where data sets may be fetched from, by `{"url": …}`: prefixes such as `s3://bucket/folder/`, with commas between
    them; default: nowhere. They are read with the service's own credentials."""
    ingest_bytes: Annotated[int, Field(ge=200_000_000)] = 2_000_000_000
    """Most memory of the process that reads an upload; what it maps from files is not counted."""
    ingest_seconds: Annotated[float, Field(gt=0)] = 1800.0
    """An upload that takes longer to read is refused."""
    ingest_wait_seconds: Annotated[float, Field(ge=0)] = 20.0
    """How long a POST of a data set waits for it to be read; then it is answered with 202."""
    queued_jobs: Count = 10_000
    """Most jobs an owner may have waiting."""
    requests_per_minute: Count = 6_000
    """Most requests of a key in a minute."""
    stored_bytes: Annotated[int, Field(ge=0)] = 0
    """Most bytes of uploads and models that an owner may keep; above it neither uploads nor jobs are accepted. 0: no
    limit."""
    device_seconds: Annotated[float, Field(ge=0)] = 0.0
    """Seconds of devices that the jobs of an owner may take in a day (UTC); above it no job is accepted. 0: no
    limit."""
    webhook_hosts: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:_, -]*$")] = ""
    """Hosts of webhooks that may be at private addresses or by plain http, as they stand in URLs, with commas between
    them; default: none."""
    webhook_retries: Annotated[str, Field(pattern=r"^([0-9]{1,6}([.][0-9]+)?(, ?[0-9]{1,6}([.][0-9]+)?)*)?$")] = (
        "5,30,120,600,3600,21600"
    )
    """Seconds before each further attempt of a delivery that failed; each pause is up to a fifth longer."""
    webhook_seconds: Annotated[float, Field(gt=0, le=60)] = 15.0
    """A receiver that takes longer to answer has failed."""
    delivery_retention_seconds: Annotated[float, Field(ge=0)] = 604_800.0
    """How long a delivery that has ended is kept in the log of its webhook."""
    waiters: Count = 256
    """Most long-polls and event streams a process of the API holds at once."""
    threads: Annotated[int, Field(ge=1, validate_default=True)] = 320
    """Requests a process of the API serves at once, waiting ones included; more than DESCENT_WAITERS."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is logged: this and what is worse. `debug`: each request too."""
    log_format: Literal["auto", "json", "text"] = "auto"
    """How: a line of JSON for each record, or a line for people; `auto`: for people where stderr is a terminal."""

    @field_validator("threads")
    @classmethod
    def _leave_some_to_others(cls, threads: int, info: ValidationInfo) -> int:
        if threads <= info.data.get("waiters", 0):
            raise ValueError("those who wait (DESCENT_WAITERS) would leave no thread to others")
        return threads

    @property
    def webhook_pauses(self) -> tuple[float, ...]:
        return tuple(float(seconds) for seconds in self.webhook_retries.split(",") if seconds)

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data.absolute() / 'descent.db'}"

    @property
    def storage(self) -> str:
        return self.storage_url or (self.data.absolute() / "objects").as_uri()

    @property
    def broker(self) -> str:
        return self.broker_url or "filesystem://localhost"


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process.

    Raises:
        InvalidSettings: a `DESCENT_` variable has a wrong value.
    """
    variables = os.environ if environment is None else environment
    given = {key.removeprefix(PREFIX).lower(): value for key, value in variables.items() if key.startswith(PREFIX)}
    for unknown in sorted(given.keys() - Settings.model_fields.keys() - OF_CLIENTS):
        print(f"descent: {PREFIX}{unknown.upper()} is not a setting; it is ignored", file=sys.stderr)
    try:
        return Settings.model_validate({key: given[key] for key in given.keys() & Settings.model_fields.keys()})
    except ValidationError as error:
        raise InvalidSettings(
            "; ".join(_told(str(e["loc"][0]), e["input"], e["msg"]) for e in error.errors())
        ) from None


def _told(name: str, value: object, what: str) -> str:
    return f"{PREFIX}{name.upper()}={HIDDEN if name in SECRET else repr(value)}: {what}"
