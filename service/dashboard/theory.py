"""What mean field theory expects of a job's network, for the line in its chart."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from models.architecture import architecture_of
from models.definitions.job import JobDefinition
from models.errors import InvalidDefinition
from models.expectation import expect


def expected_gains(definition: Mapping[str, Any]) -> dict[int, float]:
    """Gain of the gradient at init, by the index of the layer; of a definition that this version does not understand
    nothing is expected."""
    try:
        architecture = architecture_of(JobDefinition.model_validate(definition))
    except (ValidationError, InvalidDefinition):
        return {}
    return {index: float(f"{gain:.4g}") for index, gain in expect(architecture).gains.items()}
