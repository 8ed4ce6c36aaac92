"""The way back of a run: what it was when all was well, for the policy `rollback_and_lower_rate`.

rescue.keep(step)          # at the start, and at the end of each epoch
rescue.go_back(before=12)  # weights and optimizer as they were; from here on at a tenth of the rate
"""

from typing import Any

import torch
from torch import Tensor, nn

from workers.training.optimizers import Optimizer
from workers.training.state import State

MOST_ROLLBACKS = 5
"""Of a run; then it is stopped: at a hundred-thousandth of its rate it was not the rate."""
LOWERED = 0.1


class Rescue:
    """Keeps the start of a run and the last good state, in memory. Steps, epochs and the order of the rows go on."""

    def __init__(self, network: nn.Module, optimizer: Optimizer, is_wanted: bool) -> None:
        self._network, self._optimizer = network, optimizer
        self.is_wanted = is_wanted
        self.factor = 1.0
        """Of the schedule's rate."""
        self.count = 0
        self._kept: list[dict[str, Any]] = []

    @property
    def is_left(self) -> bool:
        return self.count < MOST_ROLLBACKS

    def keep(self, step: int) -> None:
        """`step`: the next one of the job."""
        if self.is_wanted:
            optimizer = self._optimizer
            vectors = {name: vector.clone() for name, vector in optimizer.vectors.items()}
            state = {"step": step, "network": _copies(self._network.state_dict()), "vectors": vectors}
            self._kept[1:] = [state | {"steps": optimizer.steps.clone()}]

    @torch.no_grad()
    def go_back(self, before: int) -> int:
        """To the last state kept that is not after the step `before`; gives the step at which it was kept."""
        kept = [state for state in self._kept if state["step"] <= before][-1]
        del self._kept[1:]
        if kept is not self._kept[0]:
            self._kept.append(kept)
        self._network.load_state_dict(kept["network"])
        self._optimizer.steps.copy_(kept["steps"])
        for name, vector in self._optimizer.vectors.items():
            vector.copy_(kept["vectors"][name])
        self.factor *= LOWERED
        self.count += 1
        return int(kept["step"])

    def state(self) -> State:
        return {"factor": self.factor, "count": self.count, "kept": self._kept}

    def restore(self, state: State) -> None:
        self.factor, self.count = state["factor"], state["count"]
        self._kept = [_on(kept, self._optimizer.values.device) for kept in state["kept"]]


def _copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _on(kept: Any, device: torch.device) -> Any:
    if isinstance(kept, dict):
        return {name: _on(value, device) for name, value in kept.items()}
    return kept.to(device) if isinstance(kept, Tensor) else kept
