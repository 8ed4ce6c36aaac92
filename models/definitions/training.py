"""How to train: optimizer, schedule, loss, budget, and when to stop."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from models.definitions.base import Several, Strict

Rate = Annotated[float, Field(gt=0, le=1e6)]
Share = Annotated[float, Field(ge=0, lt=1)]
Steps = Annotated[int, Field(ge=0, le=2**40)]

MOST_EPOCHS = 1_000_000
DEFAULT_EPOCHS = 20


class Sgd(Strict):
    """Stochastic gradient descent: v = momentum v + g; w = w - learning_rate v (as `torch.optim.SGD`)."""

    kind: Literal["sgd"]
    learning_rate: Rate = 0.01
    """Before the schedule, which multiplies it step by step."""
    momentum: Share = 0.0
    """Share of the last velocity v that is kept."""
    nesterov: bool = False
    """Steps along g + momentum v instead of v (Nesterov 1983); needs momentum."""

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "Sgd":
        if self.nesterov and not self.momentum:
            raise PydanticCustomError("nesterov_without_momentum", "Nesterov's step needs a momentum above 0")
        return self


class Adam(Strict):
    """Kingma and Ba 2015, with betas 0.9 and 0.999 and epsilon 1e-8; weight decay is L2."""

    kind: Literal["adam"]
    learning_rate: Rate = 0.001
    """As for sgd."""


class AdamW(Strict):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    kind: Literal["adamw"]
    learning_rate: Rate = 0.001
    """As for sgd."""


class RmsProp(Strict):
    """Divides the gradient by a running root mean square of itself (Hinton 2012), as `torch.optim.RMSprop`."""

    kind: Literal["rmsprop"]
    learning_rate: Rate = 0.001
    """As for sgd."""
    alpha: Share = 0.99
    """Smoothing of the mean square."""
    momentum: Share = 0.0
    """As for sgd, of the divided gradient."""


class AdaGrad(Strict):
    """Divides the gradient by the root of the sum of all its squares so far (Duchi et al. 2011)."""

    kind: Literal["adagrad"]
    learning_rate: Rate = 0.01
    """As for sgd."""


Optimizer = Annotated[Sgd | Adam | AdamW | RmsProp | AdaGrad, Field(discriminator="kind")]


class _Schedule(Strict):
    warmup_steps: Steps = 0
    """The rate rises linearly over so many steps at the start, by the factor min(1, (step + 1) / warmup_steps)."""


class ConstantSchedule(_Schedule):
    """The learning rate stays what it is."""

    kind: Literal["constant"] = "constant"


class StepSchedule(_Schedule):
    """The rate is multiplied by `factor` after every so many epochs."""

    kind: Literal["step"]
    every: Annotated[int, Field(ge=1, le=MOST_EPOCHS)] = 10
    """Epochs."""
    factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    """What the rate is multiplied by."""


class CosineSchedule(_Schedule):
    """Half a cosine from the rate down to `final_factor` of it, over all steps (Loshchilov and Hutter 2017)."""

    kind: Literal["cosine"]
    final_factor: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the rate at the end."""


class OneCycleSchedule(_Schedule):
    """From the rate up to `peak_factor` times it, then down to a ten-thousandth of it, in cosines (Smith 2018)."""

    kind: Literal["one_cycle"]
    peak_factor: Annotated[float, Field(ge=1, le=1e6)] = 10.0
    """The peak, as a multiple of the rate."""
    warmup_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of the steps that go up."""


class PlateauSchedule(_Schedule):
    """The rate is multiplied by `factor` when the validation loss has not fallen by 1e-4 of itself for more than
    `patience` epochs."""

    kind: Literal["plateau"]
    patience: Annotated[int, Field(ge=0, le=MOST_EPOCHS)] = 5
    """Epochs."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """What the rate is multiplied by."""


Schedule = Annotated[
    ConstantSchedule | StepSchedule | CosineSchedule | OneCycleSchedule | PlateauSchedule, Field(discriminator="kind")
]


class Clip(Strict):
    """Bounds the gradient before the step, by its norm or by value."""

    norm: Rate | None = None
    """The gradient of all parameters together is scaled down to this L2 norm where it is longer."""
    value: Rate | None = None
    """Each element is cut to [-value, value]."""

    @model_validator(mode="after")
    def _one_of_both(self) -> "Clip":
        if (self.norm is None) == (self.value is None):
            raise PydanticCustomError("norm_or_value", "It should have either `norm` or `value`")
        return self


class Stop(Strict):
    """When to stop before the budget is used up."""

    patience: Annotated[int, Field(ge=1, le=MOST_EPOCHS)] | None = None
    """Stop when the validation loss has not been better for so many epochs; the best weights are kept."""
    min_delta: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """What counts as better: lower than the best by more than this."""
    tolerance: Rate | None = None
    """Stop when the training loss of two successive epochs differs by less: gradient descent until it converges."""

    @model_validator(mode="after")
    def _at_least_one(self) -> "Stop":
        if self.patience is None and self.tolerance is None:
            raise PydanticCustomError("patience_or_tolerance", "It should have `patience` or `tolerance`")
        return self


class Pretraining(Strict):
    """Greedy, layer by layer, before the training proper (Bengio et al. 2007): each hidden layer learns to give its
    input back through a linear map of its own, which is then thrown away. With the optimizer and batches of the job."""

    kind: Literal["autoencoder"]
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 10
    """For each hidden layer."""


class Training(Strict):
    """Optimizer, loss and budget of a job."""

    epochs: Annotated[int, Field(ge=1, le=MOST_EPOCHS)] | None = None
    """`null`: 20, or as many as `max_steps` or `max_seconds` allow. Whichever budget is used up first ends the job."""
    max_steps: Annotated[int, Field(ge=1, le=2**40)] | None = None
    """Optimizer steps (of each run, where there are restarts)."""
    max_seconds: Annotated[float, Field(gt=0, le=1e8)] | None = None
    """Seconds of training, validation included; the step under way is finished."""
    batch_size: Annotated[int, Field(ge=1, le=2**24)] = 64
    """Rows at once; the last, smaller batch of an epoch is used too."""
    accumulate: Annotated[int, Field(ge=1, le=2**20)] = 1
    """Batches whose gradients make one step: that of a batch of `accumulate` x `batch_size` rows, in the memory of
    `batch_size`. Batch norm sees each batch by itself."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Decides initial weights, order of the rows and dropout (see docs/reproducibility.md)."""
    restarts: Annotated[int, Field(ge=1, le=100)] = 1
    """Trains so many times, with the seeds seed, seed + 1, ...; the best by validation loss is kept."""
    loss: Literal["auto", "cross_entropy", "binary_cross_entropy", "mse", "huber", "mae"] = "auto"
    """`auto`: cross_entropy for classes, mse for regression. `binary_cross_entropy` is for two classes, and has one
    logit."""
    class_weights: Literal["balanced"] | Annotated[Several[Rate], Field(min_length=2, max_length=100_000)] | None = None
    """A weight for each class, in the order of the data set's classes; `balanced`: rows / (classes x rows of the
    class), of the training part."""
    label_smoothing: Share = 0.0
    """Share of each target that is spread evenly over all classes (Szegedy et al. 2016)."""
    optimizer: Optimizer = Adam(kind="adam")
    """What makes a step of a gradient."""
    schedule: Schedule = ConstantSchedule()
    """How the learning rate changes from step to step."""
    weight_decay: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """Decoupled for adamw, L2 for the others; as in torch it covers every parameter."""
    clip: Clip | None = None
    """`null`: gradients stay as they are."""
    stop: Stop | None = None
    """`null`: the budget alone ends the job."""
    pretraining: Pretraining | None = None
    """For a dnn."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """`bfloat16`: affine maps and recurrences in bfloat16, weights and loss in float32. `auto`: bfloat16 on a GPU that
    has it, else float32. On a GPU `float32` is that, and the other two let what is left in float32 use TF32."""
    deterministic: bool = False
    """On a GPU: only algorithms that give the same bits each time. On a CPU they do anyway."""

    @property
    def is_open(self) -> bool:
        """Whether the job may end long before its epochs do."""
        return self.stop is not None or self.max_seconds is not None
