"""The model of a job: its network with the weights of the best epoch, and all that is needed to use it elsewhere.

    state = model_state(definition, shape, network, prepared)      # in the runner, before the job ends
    model = read_model(path)                                       # later, and perhaps on another machine
    probabilities = model.deployed()(x)

A file of it is written by `torch.save`, and read with `weights_only=True`: tensors, numbers and texts.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.catalogue import DataShape
from models.definitions.job import JobDefinition
from models.inputs import has_categories
from models.losses import LossName, loss_name
from workers.training.data import Prepared
from workers.training.deployed import Deployed
from workers.training.evaluation import evaluation_of
from workers.training.networks import build
from workers.training.parts import Part
from workers.training.scale import Scale, TargetScale
from workers.training.state import State

FORMAT = 1
EVALUATION_ROWS = 256
"""Rows at once."""


@dataclass(frozen=True)
class Model:
    """A trained network, what its inputs and outputs are, and how they are scaled."""

    definition: JobDefinition
    shape: DataShape
    """As the network sees the data."""
    inputs: Scale | None
    targets: TargetScale
    weights: dict[str, Tensor]
    """By the names of `state_dict`, on the CPU."""

    @property
    def loss(self) -> LossName:
        return loss_name(self.definition.training, self.shape)

    def network(self) -> nn.Module:
        network = build(self.definition.network, self.shape)
        network.load_state_dict(self.weights)
        return network.eval()

    def deployed(self) -> Deployed:
        """Takes the features of a table encoded; where all are numbers, as they are, NaN where they are missing."""
        columns = self.definition.data.columns
        fill = [] if columns is None or has_categories(columns) else [column.fill for column in columns.inputs]
        return Deployed(self.network(), self.loss, self.inputs, self.targets, fill).eval()


def model_state(definition: JobDefinition, shape: DataShape, network: nn.Module, data: Prepared) -> State:
    """What `torch.save` writes."""
    inputs = data.inputs and {name: torch.from_numpy(np.array(value)) for name, value in vars(data.inputs).items()}
    return {
        "format": FORMAT,
        "definition": definition.plain(),
        "shape": asdict(shape),
        "inputs": inputs,
        "targets": {"offset": data.target.offset.cpu(), "factor": data.target.factor.cpu()},
        "weights": {name: contiguous(value) for name, value in network.state_dict().items()},
    }


def contiguous(value: Tensor) -> Tensor:
    """A copy on the CPU that shares its memory with nothing: as trained, all weights are views of one vector, and those
    of convolutions have their channels side by side."""
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)


def read_model(path: Path) -> Model:
    """
    Raises:
        Exception: whatever torch makes of a file that is none.
    """
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if state["format"] != FORMAT:
        raise ValueError("The model was written by another version.")
    inputs = state["inputs"]
    return Model(
        JobDefinition.model_validate(state["definition"]),
        DataShape(**state["shape"]),
        inputs and Scale(inputs["offset"].numpy(), inputs["factor"].numpy()),
        TargetScale(**state["targets"]),
        state["weights"],
    )


@torch.inference_mode()
def evaluate(
    deployed: Deployed,
    shape: DataShape,
    part: Part,
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext,
    told: Callable[[], None] = lambda: None,
    truth: Callable[[Tensor], Tensor] = lambda y: y,
) -> dict[str, Any]:
    """On inputs that are scaled already; `truth` gives targets in their own units. `told` is called before each batch,
    for someone may wait."""
    evaluation, deployed = evaluation_of(shape), deployed.eval()
    for x, y in part.in_order(EVALUATION_ROWS):
        told()
        with autocast():
            outputs = deployed.network(x)
        evaluation.add(deployed.finish(outputs), truth(y))
    return evaluation.result()
