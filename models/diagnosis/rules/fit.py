"""A network that learns its training rows by heart."""

import math

import numpy as np

from models.diagnosis import remedies
from models.diagnosis import thresholds as at
from models.diagnosis.finding import Code, Finding, Severity
from models.diagnosis.reading import Numbers, Reading, single

FEWEST_EPOCHS = 5
METRIC = {"classification": "validation_accuracy", "regression": "validation_r2"}


def overfit(reading: Reading) -> Finding | None:
    """The validation loss has been lower and rises, while the training loss falls (Prechelt 1998, Early stopping)."""
    losses = reading.evidence.epochs["validation_loss"]
    constant = reading.evidence.facts.get("validation_constant_loss")
    if len(losses) < FEWEST_EPOCHS or not constant or not np.isfinite(losses).all():
        return None
    best = int(losses.argmin())
    lowest, last = float(losses[best]), float(np.median(losses[-3:]))
    rise = last - lowest
    risen = last > at.RISEN * lowest and rise > at.RISEN_CONSTANT * constant
    early = best + 1 < at.EARLY_MINIMUM * len(losses)
    if not (risen and early and rise > at.STANDARD_ERRORS * _scatter(losses) and _training_fell(reading, best)):
        return None
    definition = reading.evidence.definition
    severity = Severity.FAULT if reading.decided and _metric_fell(reading) else Severity.WARNING
    explanation = (
        f"The validation loss was lowest in epoch {best + 1}, {lowest:.3g}, and has risen to {last:.3g} in epoch "
    )
    explanation += f"{len(losses)}, while the training loss fell on: since then it learns the rows by heart."
    return Finding(
        Code.OVERFIT,
        severity,
        explanation,
        (
            single("validation_loss_ratio", last / lowest if lowest > 0 else math.inf, at.RISEN),
            single("validation_loss_rise", rise / constant, at.RISEN_CONSTANT),
        ),
        first_step=int(reading.evidence.epochs["step"][best]),
        remedies=remedies.offered(
            remedies.early_stop(definition, max(3, (best + 1) // 10)),
            remedies.weight_decay(definition, 0.1),
            remedies.dropout(definition, 0.5),
        ),
    )


def _scatter(losses: Numbers) -> float:
    """Standard error of one epoch's loss, from how it differs between neighbours in the second half."""
    return float(np.std(np.diff(losses[len(losses) // 2 :]))) / math.sqrt(2) if len(losses) > 3 else 0.0


def _training_fell(reading: Reading, best: int) -> bool:
    losses = reading.evidence.epochs["train_loss"]
    return bool(np.median(losses[-3:]) < losses[best])


def _metric_fell(reading: Reading) -> bool:
    """Whether the metric is more than a standard error worse than it was."""
    values = reading.evidence.epochs[METRIC[reading.evidence.shape.task]]
    values = values[np.isfinite(values)]
    if not len(values):
        return True
    best, last = float(values.max()), float(np.median(values[-3:]))
    if reading.evidence.shape.task == "regression":
        return best - last > at.RISEN_CONSTANT
    rows = max(reading.evidence.definition.data.validation_rows(reading.evidence.shape.rows), 1)
    return best - last > math.sqrt(max(best * (1 - best), 1 / rows) / rows)
