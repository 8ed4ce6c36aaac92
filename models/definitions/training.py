"""How to train: optimizer, loss, budget."""

from typing import Annotated, Literal

from pydantic import Field

from models.definitions.base import Strict

Rate = Annotated[float, Field(gt=0, le=1e6)]


class Sgd(Strict):
    """Stochastic gradient descent: v = momentum v + g; w = w - learning_rate v (as `torch.optim.SGD`)."""

    kind: Literal["sgd"]
    learning_rate: Rate = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Adam(Strict):
    """Kingma and Ba 2015, with betas 0.9 and 0.999 and epsilon 1e-8; weight decay is L2."""

    kind: Literal["adam"]
    learning_rate: Rate = 0.001


class AdamW(Strict):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    kind: Literal["adamw"]
    learning_rate: Rate = 0.001


Optimizer = Annotated[Sgd | Adam | AdamW, Field(discriminator="kind")]


class ConstantSchedule(Strict):
    """The learning rate stays what it is."""

    kind: Literal["constant"] = "constant"


class Training(Strict):
    """Optimizer, loss and budget of a job."""

    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    batch_size: Annotated[int, Field(ge=1, le=2**24)] = 64
    """Rows a step; the last, smaller batch of an epoch is used too."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Decides initial weights, order of the rows and dropout (see docs/reproducibility.md)."""
    loss: Literal["auto", "cross_entropy", "mse"] = "auto"
    """`auto`: cross_entropy for classes, mse for regression."""
    optimizer: Optimizer = Adam(kind="adam")
    schedule: ConstantSchedule = ConstantSchedule()
    weight_decay: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """L2 for sgd and adam, decoupled for adamw; as in torch it covers every parameter."""
    precision: Literal["float32"] = "float32"
