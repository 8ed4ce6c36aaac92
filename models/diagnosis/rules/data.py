"""Data that do not give what the network is asked for."""

from models.diagnosis import remedies
from models.diagnosis import thresholds as at
from models.diagnosis.finding import Code, Finding, Severity
from models.diagnosis.reading import Reading, single
from models.diagnosis.words import percent


def class_imbalance(reading: Reading) -> Finding | None:
    """The network has settled for the most frequent class: its accuracy is that class's share."""
    severity = reading.severity
    counts = reading.evidence.facts.get("class_counts")
    if severity is None or not counts or not sum(counts):
        return None
    share = max(counts) / sum(counts)
    accuracy = reading.evidence.epochs["train_accuracy"]
    if share < at.MAJORITY or not len(accuracy) or accuracy[-1] > share + at.ABOVE_MAJORITY:
        return None
    explanation = f"{percent(share)} of the training rows are of one class, and the network is right on "
    explanation += f"{percent(accuracy[-1])} of them: it gives that class, and little else."
    return Finding(
        Code.CLASS_IMBALANCE,
        severity,
        explanation,
        (single("majority", share, at.MAJORITY), single("train_accuracy", float(accuracy[-1]))),
        remedies=remedies.offered(
            remedies.balanced_classes(reading.evidence.definition), remedies.adam(reading.evidence.definition)
        ),
    )


def no_signal(reading: Reading) -> Finding | None:
    """Neither the network nor a cheap model predicts anything of new rows. Then every gradient is noise, and steps
    along it come to nothing or overshoot."""
    tells = reading.evidence.shape.kind in ("table", "sequence") and reading.axis is None
    return nothing_to_learn(reading) if tells else None


def noise_by_heart(reading: Reading) -> Finding | None:
    """Of images and signals cheap models may be blind: there the network itself has to have learned something of its
    rows, and nothing of others by it."""
    skill, validation = reading.skill or 0.0, reading.validation_skill
    in_vain = validation is not None and validation < at.INFORMATIVE / 2 and skill - validation > at.IN_VAIN
    return nothing_to_learn(reading) if in_vain or skill > at.MEMORISED else None


def nothing_to_learn(reading: Reading) -> Finding | None:
    """The same of any data, where nothing else was found."""
    learned = reading.skill if reading.validation_skill is None else reading.validation_skill
    if not reading.decided or learned is None or reading.reference is None:
        return None
    if reading.reference >= at.INFORMATIVE / 2 or learned >= at.INFORMATIVE:
        return None
    explanation = f"The skill on new rows is {learned:.2f}, and the best of a few cheap models on the same data has "
    explanation += f"{reading.reference:.2f}: these inputs do not tell the targets. Are the labels in the rows' order?"
    return Finding(
        Code.NO_SIGNAL,
        Severity.FAULT,
        explanation,
        (single("skill", learned, at.INFORMATIVE), single("reference_skill", reading.reference, at.INFORMATIVE / 2)),
        remedies=remedies.offered(remedies.whole_sequence(reading.evidence.definition)),
    )


def low_signal(reading: Reading) -> Finding | None:
    """It learned little, and as much as there is."""
    if not (reading.decided and reading.data_give_no_more):
        return None
    explanation = f"The skill is {reading.learned:.2f}; the best of a few cheap models on the same data has "
    explanation += f"{reading.reference:.2f}, so there is hardly more to learn from them."
    return Finding(
        Code.LOW_SIGNAL,
        Severity.WARNING,
        explanation,
        (single("skill", reading.learned, at.FAILED_SKILL), single("reference_skill", reading.reference)),
    )
