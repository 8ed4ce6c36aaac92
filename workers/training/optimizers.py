"""Optimizers over all parameters at once: torch's fused kernels on flat vectors, one call a step.

The same weights as `torch.optim` gives (tests/workers/test_optimizers.py), without its bookkeeping, which on a network
of a few units takes longer than the backward pass.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from models.definitions.training import AdaGrad, Adam, AdamW, Clip, RmsProp, Sgd, Training
from models.definitions.training import Optimizer as Definition
from workers.training.parameters import FlatParameters
from workers.training.state import State

BETAS, EPSILON = (0.9, 0.999), 1e-8
ADAGRAD_EPSILON = 1e-10
"""As `torch.optim` has them."""


class Optimizer:
    """Makes a step of the gradients: `optimizer.rate = 0.01; optimizer.step()`.

    The vectors themselves are no part of any graph, so nothing here needs `no_grad`.
    """

    kept: ClassVar[tuple[str, ...]] = ()
    """Names of the vectors it keeps from step to step."""

    def __init__(self, definition: Definition, weight_decay: float, parameters: FlatParameters) -> None:
        self.rate: float = definition.learning_rate
        self.device_rate: Tensor | None = None
        """float32 scalar, where a step is recorded: what the kernels read then, in place of `rate`."""
        self.values, self.gradients = parameters.values, parameters.gradients
        self.weight_decay = weight_decay
        self.steps = torch.zeros((), device=self.values.device)
        self.vectors = {name: torch.zeros_like(self.values) for name in self.kept}

    @property
    def learning_rate(self) -> float | Tensor:
        """As the fused kernels take it."""
        return self.rate if self.device_rate is None else self.device_rate

    def step(self) -> None:
        raise NotImplementedError

    def step_unless(self, masked: Tensor) -> None:
        """The step, but where `masked` (a float32 scalar of the device) is 1: then all stays as it is. Nothing waits
        for it. Here by copies, which are put back; fused kernels look at it themselves."""
        written = [self.values, *self.vectors.values()]
        before = [tensor.clone() for tensor in written]
        self.step()
        for tensor, kept in zip(written, before, strict=True):
            tensor.copy_(torch.where(masked > 0, kept, tensor))

    def state(self) -> State:
        return {"rate": self.rate, "steps": self.steps, **self.vectors}

    def restore(self, state: State) -> None:
        self.rate = state["rate"]
        self.steps.copy_(state["steps"])
        for name, vector in self.vectors.items():
            vector.copy_(state[name])

    def decayed(self) -> Tensor:
        """The gradients with the derivative of the L2 penalty."""
        return self.gradients.add(self.values, alpha=self.weight_decay) if self.weight_decay else self.gradients


class SgdStep(Optimizer):
    """`torch.optim.SGD`."""

    kept = ("velocity",)

    def __init__(self, definition: Sgd, weight_decay: float, parameters: FlatParameters) -> None:
        super().__init__(definition, weight_decay, parameters)
        self.momentum, self.nesterov = definition.momentum, definition.nesterov

    def step(self) -> None:
        self.step_unless(None)

    def step_unless(self, masked: Tensor | None) -> None:
        torch._fused_sgd_(
            [self.values],
            [self.gradients],
            [self.vectors["velocity"]] if self.momentum else [],
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            lr=self.learning_rate,
            dampening=0.0,
            nesterov=self.nesterov,
            maximize=False,
            is_first_step=False,
            found_inf=masked,
        )


class AdamStep(Optimizer):
    """`torch.optim.Adam`."""

    kept = ("mean", "mean_square")
    kernel: ClassVar[Callable[..., object]] = staticmethod(torch._fused_adam_)

    def step(self) -> None:
        self.step_unless(None)

    def step_unless(self, masked: Tensor | None) -> None:
        self.steps += 1
        self.kernel(
            [self.values],
            [self.gradients],
            [self.vectors["mean"]],
            [self.vectors["mean_square"]],
            [],
            [self.steps],
            lr=self.learning_rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=self.weight_decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
            found_inf=masked,
        )
        if masked is not None:
            self.steps -= masked


class AdamWStep(AdamStep):
    """`torch.optim.AdamW`."""

    kernel: ClassVar[Callable[..., object]] = staticmethod(torch._fused_adamw_)


class RmsPropStep(Optimizer):
    """`torch.optim.RMSprop`; torch has no fused kernel for it."""

    kept = ("mean_square", "velocity")

    def __init__(self, definition: RmsProp, weight_decay: float, parameters: FlatParameters) -> None:
        super().__init__(definition, weight_decay, parameters)
        self.alpha, self.momentum = definition.alpha, definition.momentum

    def step(self) -> None:
        gradients, mean_square = self.decayed(), self.vectors["mean_square"]
        mean_square.mul_(self.alpha).addcmul_(gradients, gradients, value=1 - self.alpha)
        root = mean_square.sqrt().add_(EPSILON)
        if self.momentum:
            velocity = self.vectors["velocity"].mul_(self.momentum).addcdiv_(gradients, root)
            self.values.add_(velocity, alpha=-self.rate)
        else:
            self.values.addcdiv_(gradients, root, value=-self.rate)


class AdaGradStep(Optimizer):
    """`torch.optim.Adagrad`; torch's fused kernel for it is for the CPU only."""

    kept = ("sum_of_squares",)

    def step(self) -> None:
        gradients, total = self.decayed(), self.vectors["sum_of_squares"]
        total.addcmul_(gradients, gradients)
        self.values.addcdiv_(gradients, total.sqrt().add_(ADAGRAD_EPSILON), value=-self.rate)


KINDS: dict[type[Definition], type[Optimizer]] = {
    Sgd: SgdStep,
    Adam: AdamStep,
    AdamW: AdamWStep,
    RmsProp: RmsPropStep,
    AdaGrad: AdaGradStep,
}


def build_optimizer(training: Training, parameters: FlatParameters) -> Optimizer:
    """The optimizer of a job, over all parameters."""
    return KINDS[type(training.optimizer)](training.optimizer, training.weight_decay, parameters)


@torch.no_grad()
def clip_gradients(clip: Clip, gradients: Tensor) -> None:
    """Bounds all gradients together, in place. As in torch, the norm has 1e-6 added; it is summed in double."""
    if clip.norm is not None:
        norm = torch.linalg.vector_norm(gradients, dtype=torch.float64)
        gradients.mul_((clip.norm / (norm + 1e-6)).clamp(max=1.0))
    elif clip.value is not None:
        gradients.clamp_(-clip.value, clip.value)
