"""Forward passes that training does not notice: what they would move stays where it is.

unmoved = Unmoved(network)
drawn_from = unmoved.random_state()
...
with unmoved.norms(), unmoved.drawing_from(drawn_from):
    network(x)  # the dropout masks of then; the generators and batch norm's running statistics are as they were
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from workers.training.randomness import random_state, restore_random_state
from workers.training.ranks import ALONE
from workers.training.shared_norm import SharedNorm
from workers.training.state import State


class Unmoved:
    """A network in training, and what a forward pass of it moves."""

    def __init__(self, network: nn.Module) -> None:
        self._device = next(network.parameters()).device
        modules = list(network.modules())
        self._norms = [module for module in modules if isinstance(module, _BatchNorm | SharedNorm)]
        self._shared = [norm for norm in self._norms if isinstance(norm, SharedNorm)]
        self._dropouts = [module for module in modules if isinstance(module, nn.Dropout)]

    def random_state(self) -> State | None:
        """Of the generators that dropout draws from; None where there is none."""
        return random_state(self._device) if self._dropouts else None

    @contextmanager
    def drawing_from(self, state: State | None) -> Iterator[None]:
        """Draws as from this state; afterwards the generators are as they were."""
        now = self.random_state()
        if state is None or now is None:
            yield
            return
        restore_random_state(state, self._device)
        try:
            yield
        finally:
            restore_random_state(now, self._device)

    @contextmanager
    def norms(self) -> Iterator[None]:
        """Batch norms use the statistics of their batch and keep nothing of them."""
        for norm in self._norms:
            norm.track_running_stats = False
        try:
            yield
        finally:
            for norm in self._norms:
                norm.track_running_stats = True

    @contextmanager
    def no_dropout(self) -> Iterator[None]:
        for dropout in self._dropouts:
            dropout.training = False
        try:
            yield
        finally:
            for dropout in self._dropouts:
                dropout.training = True

    @contextmanager
    def alone(self) -> Iterator[None]:
        """For rows that all ranks have: batch norms ask no other rank for theirs."""
        ranks = [norm.ranks for norm in self._shared]
        for norm in self._shared:
            norm.ranks = ALONE
        try:
            yield
        finally:
            for norm, own in zip(self._shared, ranks, strict=True):
                norm.ranks = own
