"""Diagnoses a job while it trains, from its own reports.

    report = insight = Insight(definition, report)
    insight.begin_run(planned_steps, recorder.pending, recorder.finish)
    ...  # all that is reported goes through it
    finding = insight.after_sample()  # or after_epoch(): what a policy wants acted upon
    insight.end_run(loss, flight.tell, is_only=True)
    insight.end_job("succeeded")  # the last diagnosis, before `Ended`

It looks after the third sampled step, so that a hopeless job says so within its first second; then at ends of epochs,
as often as that costs next to nothing; and at the end.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from models.definitions.job import JobDefinition, Policy
from models.diagnosis.diagnose import diagnose, wants_reference
from models.diagnosis.evidence import Evidence, Gathering
from models.diagnosis.finding import Code, Diagnosis, Finding, Severity
from models.reports import BEGAN_ANEW, Diagnosed, Facts, Incident, Report, Sampled
from models.series import Chunk
from models.states import Verdict
from workers.training.state import State

log = logging.getLogger(__name__)

FIRST_LOOK = 3
"""Sampled steps of a run before it."""
LEAST_SECONDS, MOST_SHARE = 1.0, 0.02
"""Between two looks at ends of epochs, and of the time of training that they may take together."""

Judge = Callable[[Evidence], Diagnosis]
Pending = Callable[[], dict[str, Chunk]]


def nothing_pending() -> dict[str, Chunk]:
    return {}


def nothing_to_settle() -> None:
    """Where nothing is pending."""


class Insight:
    """Sees every report of a job, and hands it on."""

    def __init__(
        self,
        definition: JobDefinition,
        report: Callable[[Report], None],
        judge: Judge = diagnose,
        reference: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        """`reference`: how cheap models do on the same data, for the fact `reference`."""
        self._definition, self._report, self._judge = definition, report, judge
        others = {code: policy for code, policy in definition.policies.items() if code != Code.NONFINITE}
        self.policies: dict[Code, Policy] = {code: policy for code, policy in others.items() if policy != "continue"}
        """Those that a diagnosis has to be made for."""
        self._reference = reference
        self._facts: dict[str, Any] = {}
        self._gathering: Gathering | None = None
        """Of the run under way."""
        self._best: Gathering | None = None
        """Of the best run that has ended."""
        self._best_loss = math.inf
        self._samples = 0
        """Steps of the run under way that were sampled."""
        self._is_abandoned = False
        self._told: Any = None
        """What the last diagnosis said that was reported."""
        self._pending: Pending = nothing_pending
        self._settle: Callable[[], None] = nothing_to_settle
        self._tell_flight: Callable[[], None] | None = None
        """Of the last run, if that may have to be told."""
        self._started = self._looked_at = self._told_at = time.monotonic()
        self._seconds = 0.0
        """Spent on looking, in this attempt."""

    def __call__(self, report: Report) -> None:
        if isinstance(report, Facts):
            self._facts = self._facts | report.values
        if self._gathering:
            self._gathering.see(report)
        self._report(report)

    def begin_run(
        self, planned_steps: int, pending: Pending, settle: Callable[[], None], goes_on: bool = False
    ) -> None:
        """`settle` reports what is pending; `goes_on`: an earlier attempt began it."""
        self._pending, self._settle = pending, settle
        if not goes_on or self._gathering is None:
            self._gathering, self._samples = Gathering(self._definition, planned_steps, dict(self._facts)), 0

    def begin_anew(self, step: int) -> None:
        """The run has gone back at this step of the job: what was seen of it before says nothing of what comes."""
        assert self._gathering is not None
        self(Facts({BEGAN_ANEW: [*self._facts.get(BEGAN_ANEW, ()), step]}))
        self.begin_run(self._gathering.planned_steps or 0, self._pending, self._settle)
        self._gathering.is_midway = True

    def after_sample(self) -> Finding | None:
        """A step was sampled. Gives what a policy wants acted upon."""
        self._samples += 1
        return self._to_act_upon(self._look()) if self._samples == FIRST_LOOK else None

    def after_epoch(self) -> Finding | None:
        """An epoch is reported. Likewise."""
        return self._to_act_upon(self._look()) if self.policies or self._may_look() else None

    def end_run(self, loss: float, tell_flight: Callable[[], None], is_only: bool) -> None:
        """`loss`: the best of its epochs. A run that is not the only one of its job is diagnosed by itself."""
        if self._gathering is None:
            return
        if is_only or self._is_at_fault(self._look()):
            # Of an only run that is not known yet.
            self._tell_flight = tell_flight
        if not is_only:
            self._flight()
        if self._best is None or loss < self._best_loss:
            self._best, self._best_loss = self._gathering, loss
        self._gathering, self._pending, self._settle = None, nothing_pending, nothing_to_settle

    def end_job(self, outcome: str) -> Finding | None:
        """The last diagnosis: of the best run, or of what there is of the first. Gives what a policy stops the job
        for."""
        self._gathering = self._best or self._gathering
        if self._gathering is None:
            return None
        self._gathering.facts = self._gathering.facts | self._facts
        self._is_abandoned = outcome == "cancelled"
        diagnosis = self._look(complete=True, tells=False)
        if outcome == "succeeded" and self._compare(self._gathering):
            diagnosis = self._look(complete=True, tells=False)
        if self._is_at_fault(diagnosis) and self._flight():
            diagnosis = self._look(complete=True, tells=False)
        if diagnosis:
            self._report(Diagnosed(diagnosis))
        return next((found for found in self._with_policy(diagnosis) if self.policies[found.code] == "stop"), None)

    def _compare(self, seen: Gathering) -> bool:
        """Asks how cheap models do, where that may explain something. Should they fail, the job has done its work."""
        try:
            if self._reference is None or not wants_reference(self._evidence(seen, True)):
                return False
            skills = self._reference()
        except Exception:
            log.exception("the job could not be compared with cheap models")
            return False
        self(Facts({"reference": skills}))
        return True

    def _flight(self) -> bool:
        tell, self._tell_flight = self._tell_flight, None
        if tell:
            tell()
        return tell is not None

    def _look(self, complete: bool = False, tells: bool = True) -> Diagnosis | None:
        """None where the rules themselves fail: then training goes on all the same."""
        if self._gathering is None:
            return None
        started = time.monotonic()
        try:
            diagnosis = self._judge(self._evidence(self._gathering, complete))
        except Exception:
            log.exception("the job could not be diagnosed")
            return None
        finally:
            self._looked_at = time.monotonic()
            self._seconds += self._looked_at - started
        said = diagnosis.verdict.value, [(found.code.value, found.severity.value) for found in diagnosis.findings]
        is_news = said != self._told
        if tells and (is_news or self._looked_at - self._told_at >= LEAST_SECONDS):
            self._told, self._told_at = said, self._looked_at
            if is_news and diagnosis.findings:
                # Should the job be killed, what they rest on is stored, and says the same.
                self._settle()
            self._report(Diagnosed(diagnosis))
        return diagnosis

    def _evidence(self, seen: Gathering, complete: bool) -> Evidence:
        """With what is sampled, and not reported yet."""
        gathering, pending = seen, self._pending()
        if pending:
            gathering = Gathering(self._definition, seen.planned_steps)
            gathering.restore(seen.state())
            for series, chunk in pending.items():
                first, last = int(chunk.steps[0]), int(chunk.steps[-1])
                gathering.see(Sampled(first, last, len(chunk.steps), chunk.encode(), series))
        return gathering.evidence(complete, self._is_abandoned)

    def _may_look(self) -> bool:
        now = time.monotonic()
        is_cheap = self._seconds <= MOST_SHARE * (now - self._started)
        return now - self._looked_at >= LEAST_SECONDS and is_cheap

    def _to_act_upon(self, diagnosis: Diagnosis | None) -> Finding | None:
        return next(self._with_policy(diagnosis), None)

    def _with_policy(self, diagnosis: Diagnosis | None) -> Iterator[Finding]:
        """The faults that a policy speaks of."""
        for found in diagnosis.findings if diagnosis else ():
            if found.severity == Severity.FAULT and found.code in self.policies:
                yield found

    @staticmethod
    def _is_at_fault(diagnosis: Diagnosis | None) -> bool:
        return diagnosis is not None and diagnosis.verdict == Verdict.UNHEALTHY

    def state(self) -> State:
        """Between two steps, when all that was sampled is reported."""
        return {
            "facts": self._facts,
            "run": self._gathering and packed(self._gathering),
            "best": self._best and packed(self._best),
            "best_loss": self._best_loss,
            "samples": self._samples,
            "told": self._told,
        }

    def restore(self, state: State) -> None:
        # What this attempt has measured itself is the same.
        self._facts = state["facts"] | self._facts
        self._gathering, self._best = (self._unpacked(state[name]) for name in ("run", "best"))
        self._best_loss, self._samples, self._told = (state[name] for name in ("best_loss", "samples", "told"))

    def _unpacked(self, state: State | None) -> Gathering | None:
        if state is None:
            return None
        gathering = Gathering(self._definition, state["planned_steps"])
        gathering.restore(unpacked(state))
        return gathering


def packed(gathering: Gathering) -> State:
    """Its state, in tensors and plain values."""
    state = gathering.state()
    incident = state["incident"] and asdict(state["incident"])
    series = {name: _packed_series(kept) for name, kept in state["series"].items()}
    return {**state, "incident": incident, "series": series, "planned_steps": gathering.planned_steps}


def _packed_series(state: dict[str, Any]) -> State:
    kept = state["kept"]
    values = torch.from_numpy(np.stack([values for *_, values in kept])) if kept else None
    return {**state, "kept": [(ordinal, step) for ordinal, step, _ in kept], "values": values}


def unpacked(state: State) -> dict[str, Any]:
    incident = state["incident"] and Incident(**state["incident"])
    series = {name: _unpacked_series(kept) for name, kept in state["series"].items()}
    return {**state, "incident": incident, "series": series}


def _unpacked_series(state: State) -> dict[str, Any]:
    values = [] if state["values"] is None else list(state["values"].numpy())
    kept = [(ordinal, step, value) for (ordinal, step), value in zip(state["kept"], values, strict=True)]
    return {"stride": state["stride"], "seen": state["seen"], "kept": kept}
