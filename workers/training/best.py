"""The best epoch of a job, over all its runs, and the weights it had."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from workers.training.state import State


class Best:
    """Lowest validation loss, or training loss where there is no validation."""

    def __init__(self) -> None:
        self.loss = math.inf
        self.metrics: dict[str, Any] | None = None
        self.run_loss = math.inf
        """Of the run under way."""
        self.run_metrics: dict[str, Any] | None = None
        self._weights: dict[str, Tensor] = {}

    def begin_run(self) -> None:
        self.run_loss, self.run_metrics = math.inf, None

    @torch.no_grad()
    def see(self, loss: float | None, network: nn.Module, metrics: dict[str, Any]) -> bool:
        """Whether no epoch of the job was better; if so its weights are kept."""
        if loss is None or not loss < self.run_loss:
            return False
        self.run_loss, self.run_metrics = loss, metrics
        if not loss < self.loss:
            return False
        self.loss, self.metrics = loss, metrics
        state = network.state_dict()
        if self._weights:
            for name, value in state.items():
                self._weights[name].copy_(value)
        else:
            self._weights = {name: value.clone() for name, value in state.items()}
        return True

    def give_to(self, network: nn.Module) -> None:
        """Gives the network the weights of the best epoch, if there was one."""
        if self._weights:
            network.load_state_dict(self._weights)

    def state(self) -> State:
        values = {name: getattr(self, name) for name in KEPT}
        return {**values, "weights": self._weights}

    def restore(self, state: State, device: torch.device) -> None:
        for name in KEPT:
            setattr(self, name, state[name])
        self._weights = {name: value.to(device) for name, value in state["weights"].items()}


KEPT = ("loss", "metrics", "run_loss", "run_metrics")
