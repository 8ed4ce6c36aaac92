"""A NaN or an infinity: where it came up first. It leads only if no other rule says why it came."""

from models.diagnosis import remedies
from models.diagnosis.finding import Code, Finding, Remedy, Severity
from models.diagnosis.reading import Reading, median, single

PLACES = {
    "input": "the input",
    "target": "the targets",
    "preactivation": "the pre-activations of",
    "activation": "the activations of",
    "loss": "the loss",
    "gradient": "the gradient of",
    "weight": "the weights of",
}
NAMES = {"nan": "NaN", "+inf": "infinite", "-inf": "infinite"}


def nonfinite(reading: Reading) -> Finding | None:
    incident = reading.evidence.incident
    if incident is None:
        return _of_losses(reading)
    layers = reading.evidence.architecture.layers
    where = PLACES.get(incident.place, incident.place)
    if where.endswith(" of"):
        named = layers[incident.layer].name if incident.layer is not None else "the network"
        where = f"{where} {incident.tensor or named}"
    explanation = f"At step {incident.step} {where} became {NAMES[incident.kind]}"
    if incident.place == "input":
        explanation += f": the data have such values, in the batch of rows {incident.rows[:3]} and so on."
    else:
        explanation += ". The update of that step was not applied."
    return Finding(
        Code.NONFINITE,
        Severity.FAULT,
        explanation,
        (single("nonfinite_steps", incident.count),),
        layers=() if incident.layer is None else (incident.layer,),
        first_step=incident.step,
        remedies=() if incident.place in ("input", "target") else _remedies(reading),
    )


def _of_losses(reading: Reading) -> Finding | None:
    """Of a job without a record of the step."""
    if not reading.diverged:
        return None
    epoch = len(reading.evidence.epochs["train_loss"])
    explanation = f"The training loss of epoch {epoch} is not a finite number."
    return Finding(Code.NONFINITE, Severity.FAULT, explanation, (), remedies=_remedies(reading))


def _remedies(reading: Reading) -> tuple[Remedy, ...]:
    definition = reading.evidence.definition
    return remedies.offered(
        remedies.lower_rate(reading, 0.1),
        remedies.clip(definition, median(reading.gradient_norms[:10])),
        remedies.init_auto(definition),
    )
