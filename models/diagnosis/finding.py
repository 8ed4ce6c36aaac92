"""What a diagnosis says: findings with evidence, the remedies of each, and the verdict they come to."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from models.states import Verdict

RULES_VERSION = "2"
"""Of the rules that a diagnosis was made by; rises whenever one could come to something else."""


class Code(StrEnum):
    """Every finding there is, in order of precedence: of those that are true the first is the cause. A fault comes
    before any warning."""

    CONSTANT_INIT = "constant_init"
    """All units of a layer begin equal, and stay so."""
    WRONG_OUTPUT = "wrong_output"
    """The last layer does not end in what the loss wants."""
    UNNORMALISED_INPUT = "unnormalised_input"
    """The features are far from a scale of 1, or far from each other's."""
    UNNORMALISED_TARGET = "unnormalised_target"
    """The targets of a regression are far from a scale of 1."""
    DEAD_AT_INIT = "dead_at_init"
    """Nearly all units of a layer are silent before the first step."""
    SATURATED = "saturated"
    """The units of a layer are at the flat ends of their activation."""
    EXPLODING_DEPTH = "exploding_depth"
    """Signal and gradient grow from layer to layer at init."""
    EXPLODING_TIME = "exploding_time"
    """The gradient grows from time step to time step backward."""
    VANISHING_DEPTH = "vanishing_depth"
    """The gradient is lost on its way to the first layers."""
    LEARNING_RATE_TOO_LOW = "learning_rate_too_low"
    """Every step does what the gradient promises, and is tiny."""
    NO_SIGNAL = "no_signal"
    """Nothing wrong was measured in the network, and nothing predicts these targets: look at the labels."""
    LEARNING_RATE_TOO_HIGH = "learning_rate_too_high"
    """Steps overshoot: the loss does not fall as the gradient promises."""
    VANISHING_TIME = "vanishing_time"
    """The gradient is lost on its way to the first time steps."""
    DYING_UNITS = "dying_units"
    """Nearly all units of a layer fell silent while it trained."""
    LOW_SIGNAL = "low_signal"
    """The network learned little, but as much as simpler models do on these data."""
    BATCH_TOO_SMALL = "batch_too_small"
    """The gradient of a batch is mostly noise."""
    OVERFIT = "overfit"
    """The validation loss has risen again while the training loss fell."""
    CLASS_IMBALANCE = "class_imbalance"
    """The network gives the most frequent class, and little else."""
    STALLED = "stalled"
    """The weights do not move: gradients or updates are zero."""
    NONFINITE = "nonfinite"
    """A NaN or an infinity appeared while it trained, and nothing above explains it."""
    SLOW = "slow"
    """The loss still falls, and the budget is over."""
    PLATEAU = "plateau"
    """The loss does not fall any more, and nothing above says why."""


class Severity(StrEnum):
    FAULT = "fault"
    WARNING = "warning"


@dataclass(frozen=True)
class Measured:
    """One statistic that a finding rests on, beside what theory or experience expect of it."""

    statistic: str
    value: float | None
    """Median over the samples; None where it was not finite."""
    threshold: float | None = None
    """At which the finding begins."""
    expected: float | None = None
    """By theory, where there is one."""
    samples: int = 1
    p5: float | None = None
    p95: float | None = None


@dataclass(frozen=True)
class Remedy:
    """A change of the definition that should make a finding go away."""

    id: str
    patch: tuple[dict[str, Any], ...]
    """A JSON Patch (RFC 6902) on the job's definition."""
    expected: str
    """What should be measured then, in words."""


@dataclass(frozen=True)
class Finding:
    """One named fault or warning of a job."""

    code: Code
    severity: Severity
    explanation: str
    """In plain words, with the numbers in them."""
    evidence: tuple[Measured, ...]
    layers: tuple[int, ...] = ()
    """Indices in `GET …/layers`."""
    first_step: int | None = None
    """Of the job, where it was first seen."""
    consequences: tuple[Code, ...] = ()
    """Findings that are true too, and follow from this one."""
    remedies: tuple[Remedy, ...] = ()
    """The best first."""


@dataclass(frozen=True)
class Diagnosis:
    """All that is to be said about a job so far."""

    findings: tuple[Finding, ...]
    """The cause first."""
    skill: float | None
    complete: bool
    """Whether the job has ended."""
    margins: dict[str, float] = field(default_factory=dict)
    """By code, how many times further a statistic could go before the finding were true."""
    judged: bool = True
    """Whether there was enough to judge by."""
    rules_version: str = RULES_VERSION

    @property
    def verdict(self) -> Verdict:
        severities = {finding.severity for finding in self.findings}
        if Severity.FAULT in severities:
            return Verdict.UNHEALTHY
        if Severity.WARNING in severities:
            return Verdict.WARNING
        return Verdict.HEALTHY if self.judged else Verdict.UNKNOWN

    def plain(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self) | {"verdict": self.verdict.value}
