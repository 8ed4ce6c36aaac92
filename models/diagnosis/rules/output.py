"""A last layer that does not end in what the loss wants."""

from models.definitions.layers import Output
from models.diagnosis import remedies
from models.diagnosis import thresholds as at
from models.diagnosis.finding import Code, Finding, Severity
from models.diagnosis.reading import Reading, single


def wrong_output(reading: Reading) -> Finding | None:
    """Cross-entropy squashes its logits itself. After a softmax they lie in [0, 1], so the loss of K classes stays
    above ln(1 + (K - 1)/e), however sure the network is; and a sigmoid gives no target outside [0, 1]."""
    output = reading.evidence.architecture.layers[-1].placed.layer
    assert isinstance(output, Output)
    shape, definition = reading.evidence.shape, reading.evidence.definition
    if output.ends in ("auto", "linear"):
        return None
    if shape.task == "regression":
        if definition.data.normalise == "minmax" and output.ends == "sigmoid":
            return None
        explanation = f"A {output.ends} gives values from 0 to 1 only, and the targets of this regression are others."
    else:
        explanation = f"The network ends in a {output.ends}, and {reading.loss_name} squashes its logits once more: "
        explanation += "they lie between 0 and 1, so no class can get most of the probability, and gradients are small."
    learned = reading.learned
    if learned is not None and learned >= at.REACHED_SKILL:
        severity = Severity.WARNING
    else:
        severity = Severity.FAULT if reading.decided else Severity.WARNING
    if learned is not None:
        explanation += f" The skill is {learned:.2f}."
    return Finding(
        Code.WRONG_OUTPUT,
        severity,
        explanation,
        (single("skill", learned, at.REACHED_SKILL),),
        layers=(len(reading.evidence.architecture.layers) - 1,),
        first_step=0,
        remedies=remedies.offered(remedies.output_auto(definition)),
    )
