"""What mean field theory expects of a job's network, for the lines of charts and pictures."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from models.architecture import architecture_of
from models.definitions.job import JobDefinition
from models.errors import InvalidDefinition
from models.expectation import expect


def expected_gains(definition: Mapping[str, Any]) -> dict[int, float]:
    """Gain of the gradient at init, by the index of the layer; none where theory knows none."""
    try:
        return expect(architecture_of(JobDefinition.model_validate(definition))).gains
    except (InvalidDefinition, ValidationError):  # of a job that older rules have accepted
        return {}
