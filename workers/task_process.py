"""The process that does tasks, one after the other, beside the jobs: forked when there is work, with torch warm.

It has no GPU and one thread, and gives way to jobs. What it is told and what it answers are `Order` and `Outcome`.
"""

import os
import queue
import signal
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from models.artifacts import Made
from models.logs import start_logs
from models.parent import leave_with_parent
from models.settings import Settings
from models.storage import Stored
from models.tasks import Kind
from models.trail import NO_TRAIL, Trail
from workers.process import Forked, listen, offer_to_the_kernel, stand_by

NICENESS = 10


@dataclass(frozen=True)
class Order:
    """A task, with all that it needs from the database."""

    kind: Kind
    job_id: str
    checkpoint: Stored
    request: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    """Of the job."""
    trail: Trail = NO_TRAIL
    """Of the request that made the job."""


@dataclass(frozen=True)
class Outcome:
    """What came of it: a result or an error."""

    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    made: tuple[Made, ...] = ()
    """Files, of an export."""


class TaskProcess(Forked):
    """The supervisor's end."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(_enter, settings)

    def begin(self, order: Order) -> None:
        """
        Raises:
            OSError: it has died.
        """
        self._control.send(order)

    def outcome(self, seconds: float) -> Outcome | None:
        """What it answers; None if it takes longer than so many seconds.

        Raises:
            EOFError, OSError: it has died.
        """
        if not self._reports.poll(seconds):
            return None
        found: Outcome = self._reports.recv()
        return found


def _enter(answers: Connection, control: Connection, settings: Settings) -> None:
    """Does what it is told, until its supervisor is gone."""
    # Imported here, where the fork server has torch already: the supervisor never imports it.
    from workers.do_task import do  # noqa: PLC0415

    # The fork server: whoever outlived it would be nobody's child.
    leave_with_parent(signal.SIGKILL)
    stand_by()
    start_logs("tasks", settings)
    offer_to_the_kernel()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.nice(NICENESS)

    waiting: queue.SimpleQueue[Order] = queue.SimpleQueue()
    listen(control, waiting.put)
    while True:
        answers.send(do(waiting.get(), settings))
