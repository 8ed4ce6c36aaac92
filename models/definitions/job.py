"""A job definition: what `POST /v1/jobs` takes."""

from typing import Annotated, Literal

from pydantic import Field

from models.definitions.base import Several, Strict
from models.definitions.callback import Callback
from models.definitions.data import Data
from models.definitions.network import Network
from models.definitions.training import Training
from models.diagnosis.finding import Code

Name = Annotated[str, Field(max_length=200)]
Tag = Annotated[str, Field(min_length=1, max_length=64)]
Priority = Annotated[int, Field(ge=-1000, le=1000)]


class Gradients(Strict):
    """Which steps have their gradient statistics recorded."""

    every_steps: Literal["auto"] | Annotated[int, Field(ge=1, le=2**31)] = "auto"
    """`auto`: the first three steps, then evenly, at least 20 and at most about 2 000 samples a job."""
    activations: bool = True
    """Of hidden layers too: what passes through them at sampled steps, forward and backward."""
    time: bool = True
    """Of recurrent networks: the norm of dL/dh_t at sampled steps, by layer and time step."""


class Resources(Strict):
    """Where the job may run."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: a free GPU if the worker has one, else the CPU."""
    gpus: Annotated[int, Field(ge=1, le=64)] = 1
    """GPUs of one machine that share the rows of every batch; above 1, `auto` means `cuda`."""
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    """With `"device": "cpu"`: processes that share the rows of every batch."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """CPU threads of each process. Part of the definition, for sums depend on it in the last bit."""
    memory: Annotated[int, Field(ge=1, le=2**50)] | None = None
    """Bytes of the device's memory the job needs, where the estimate is wrong; `null`: the estimate."""

    @property
    def ranks(self) -> int:
        """Processes that train the job together: one, or one for each GPU."""
        return max(self.gpus, self.processes)

    @property
    def wanted_device(self) -> str:
        """`auto`, `cpu` or `cuda`."""
        return "cuda" if self.gpus > 1 else self.device


Policy = Literal["continue", "stop", "rollback_and_lower_rate"]


class Repair(Strict):
    """Remedies that are run without being asked for."""

    max_jobs: Annotated[int, Field(ge=1, le=10)]
    """At most so many jobs, each with the best remedy not known to be useless, until one has no fault."""


class JobDefinition(Strict):
    """One network, its data and its training. Only `network` and `data` are required."""

    name: Name = ""
    """For people; need not be unique."""
    tags: Annotated[Several[Tag], Field(max_length=50)] = ()
    """For people, to find jobs by."""
    network: Network
    """Its `family` says which."""
    data: Data
    """The data set, and how it is split and scaled."""
    training: Training = Training()
    """Optimizer, loss, budget, and when to stop."""
    gradients: Gradients = Gradients()
    """What is recorded on the way."""
    resources: Resources = Resources()
    """Device and threads."""
    policies: dict[Annotated[Code, Field(strict=False)], Policy] = {}
    """By finding, what to do when the job has it as a fault: `stop` ends the job as failed (at its end, where the fault
    is known no earlier), `rollback_and_lower_rate` goes back to the weights before it and on with a tenth of the
    learning rate. `nonfinite` is `stop` unless it is said otherwise; with `continue` the update of such a step is left
    out. All others are `continue`."""
    repair: Repair | None = None
    """`null`: remedies are run when they are asked for."""
    callback: Callback | None = None
    """Who is told of this job; `null`: only the webhooks of its owner are."""
    priority: Priority = 0
    """Of an owner's jobs higher ones are claimed first, each level like ten minutes of waiting; equals in order of
    arrival."""
