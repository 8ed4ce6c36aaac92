"""A network that learns its training rows by heart."""

import math

import numpy as np

from models.diagnosis import remedies
from models.diagnosis import thresholds as at
from models.diagnosis.finding import Code, Finding, Remedy, Severity
from models.diagnosis.reading import Numbers, Reading, single

METRIC = {"classification": "validation_accuracy", "regression": "validation_r2"}


def overfit(reading: Reading) -> Finding | None:
    """The validation loss has been lower and rises, while the training loss falls (Prechelt 1998, Early stopping) and
    something is learned."""
    losses = reading.evidence.epochs["validation_loss"]
    constant = reading.evidence.facts.get("validation_constant_loss")
    if len(losses) < at.FEWEST_EPOCHS or not constant or not np.isfinite(losses).all():
        return None
    best = int(losses.argmin())
    lowest, last = float(losses[best]), min(float(losses[-1]), float(np.median(losses[-3:])))
    rise = last - lowest
    risen = last > at.RISEN * lowest and rise > at.RISEN_CONSTANT * constant
    early = best + 1 < at.EARLY_MINIMUM * len(losses)
    if not (risen and early and _stays_up(losses, lowest) and _training_fell(reading, best)):
        return None
    definition = reading.evidence.definition
    stop = definition.training.stop
    if stop is not None and stop.patience is not None and len(losses) - best - 1 <= stop.patience:
        return None  # it was stopped for that, and the weights kept are those of the best epoch
    lost = rise / constant
    harm = lost > at.SKILL_LOST_MUCH or (lost > at.SKILL_LOST and _metric_fell(reading))
    severity = Severity.FAULT if reading.decided and harm else Severity.WARNING
    explanation = f"The validation loss was lowest in epoch {best + 1}, {lowest:.3g}, and has risen to {last:.3g} in "
    explanation += f"epoch {len(losses)}, while the training loss fell on: since then it learns the rows by heart."
    return Finding(
        Code.OVERFIT,
        severity,
        explanation,
        (
            single("validation_loss_ratio", last / lowest if lowest > 0 else math.inf, at.RISEN),
            single("validation_loss_rise", lost, at.SKILL_LOST if _metric_fell(reading) else at.SKILL_LOST_MUCH),
        ),
        first_step=int(reading.evidence.epochs["step"][best]),
        remedies=_against_heart(reading),
    )


def learned_by_heart(reading: Reading) -> Finding | None:
    """It fits its training rows, and from the first epoch on no others."""
    skill, validation = reading.skill, reading.validation_skill
    if not (reading.decided and reading.fails_on_new_rows) or skill is None or validation is None:
        return None
    if validation >= at.FAILED_SKILL:
        return None
    explanation = f"The skill is {skill:.2f} on the training rows and {validation:.2f} on new ones, and it never was "
    explanation += "much better: what it learns of the one does not hold for the other."
    return Finding(
        Code.OVERFIT,
        Severity.FAULT,
        explanation,
        (single("skill_gap", skill - validation, at.GENERALISATION_GAP), single("validation_skill", validation)),
        remedies=_against_heart(reading),
    )


def _against_heart(reading: Reading) -> tuple[Remedy, ...]:
    """A network that never did well on new rows of images needs other layers; any other a stop in time."""
    definition = reading.evidence.definition
    skills = reading.evidence.epochs["validation_skill"]
    never = not np.nanmax(skills, initial=-np.inf) >= at.FAILED_SKILL
    is_picture = reading.evidence.shape.kind in ("image", "signal")
    rows = int(reading.evidence.facts.get("rows") or 0)
    return remedies.offered(
        remedies.convolution(definition) if never and is_picture and rows >= at.FEW_ROWS else None,
        remedies.early_stop(definition, max(10, len(skills) // 4)),
        remedies.weight_decay(definition, 0.1),
        remedies.dropout(definition, 0.5),
    )


def _stays_up(losses: Numbers, lowest: float) -> bool:
    """Whether it is up in nearly all of the last epochs: one may be unlucky."""
    late = losses[-max(len(losses) // 3, 3) :]
    return bool((late > at.RISEN * lowest).mean() >= at.SHARE_OF_SAMPLES)


def _training_fell(reading: Reading, best: int) -> bool:
    losses = reading.evidence.epochs["train_loss"]
    return bool(np.median(losses[-3:]) < losses[best]) and (reading.skill or 0.0) > at.INFORMATIVE


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
