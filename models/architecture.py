"""From a job definition to the layers that will be built for it."""

from models.catalogue import DataShape, shape_of_data
from models.definitions.job import JobDefinition
from models.losses import loss_name, with_logits
from models.shapes import Architecture, trace


def architecture_of(definition: JobDefinition) -> Architecture:
    """The layers of a job's network on its data.

    Raises:
        InvalidDefinition: the network does not fit the data, or itself.
    """
    return architecture_on(definition, shape_of_data(definition.data))


def architecture_on(definition: JobDefinition, shape: DataShape) -> Architecture:
    """The same on data of this shape."""
    return trace(definition.network, with_logits(shape, loss_name(definition.training, shape)))
