"""The processes that train one job together. Each has the whole network, and of every batch its share of the rows.

    for x, y in ranks.batches(part, order, size, steps): ...  # x of this rank's rows, y of all rows of the batch
    ranks.sum(gradients)  # in place, over all ranks

An ordinary job is `ALONE`: everything is as it comes. Of `Several`, rank 0 decides whatever depends on more than the
numbers: the clock, and what it is asked. All ranks call everything here in the same order.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from workers.training.parts import Batch, Part
from workers.training.transfer import sent

Given = ParamSpec("Given")
Value = TypeVar("Value")

MOST_RANKS = 64
ASK_SECONDS = 0.05
"""How often the ranks hear what rank 0 is asked: a step of a small network takes less time than telling it."""
MOST_CALLS = 64


class RankLost(Exception):
    """Another process of the job has gone, or does not answer."""


class Ranks:
    """One process alone."""

    rank, size = 0, 1

    def own(self, rows: Tensor) -> Tensor:
        """Of the rows of a batch those of this rank; the first ranks have one more where they do not come out even."""
        return rows

    def batches(self, part: Part, order: Tensor, size: int, steps: int) -> Iterator[Batch]:
        """As `part.batches`, with x of this rank's rows only."""
        return part.batches(order, size, steps)

    def in_order(self, part: Part, size: int) -> Iterator[Batch]:
        """As `part.in_order`, of this rank's share of the part; equally many batches on all ranks, so the last may be
        empty."""
        return part.in_order(size)

    def sum(self, values: Tensor) -> Tensor:
        """Over all ranks, in place."""
        return values

    def norms(self, norms: Tensor) -> Tensor:
        """Of vectors that are spread over the ranks, from the norms of what each rank has of them."""
        return norms

    def joined(self, tensors: Sequence[Tensor]) -> Tensor:
        """The rows of these and of those of all other ranks."""
        return torch.cat(list(tensors))

    def same(self, values: Tensor) -> Tensor:
        """Those of rank 0, in place."""
        return values

    def agreed(self, value: Value) -> Value:
        """What rank 0 says."""
        return value

    def each(self, state: Any) -> Any:
        """What each rank has for itself, for the state that rank 0 keeps."""
        return state

    def mine(self, state: Any) -> Any:
        """This rank's of what `each` gave."""
        return state

    def asking(self, question: Callable[Given, Value]) -> Callable[Given, Value]:
        """A question that all ranks ask equally often, about once a step, with rank 0's answer; a yes may come some
        steps late."""
        return question

    def begin(self, seed: int) -> None:
        """To be called when all that the ranks draw alike is drawn."""


ALONE = Ranks()


class Several(Ranks):
    """One of several, in the process group that `torch.distributed` has."""

    def __init__(self, control: dist.ProcessGroup | None = None) -> None:
        """`control`: a group for what is on the CPU, where the default one is for GPUs."""
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._control = control

    def own(self, rows: Tensor) -> Tensor:
        return rows.tensor_split(self.size)[self.rank]

    def batches(self, part: Part, order: Tensor, size: int, steps: int) -> Iterator[Batch]:
        order = order[: size * steps]
        full = order[: len(order) // size * size].view(-1, size)
        own = torch.cat([self.own(full.T).T.flatten(), self.own(order[full.numel() :])])
        shares = part.batches(own, len(self.own(torch.empty(size))), steps) if len(own) else iter(())
        for rows in torch.split(sent(order, part.device), size):
            # The last batch may have fewer rows than there are ranks.
            share = next(shares, None)
            yield share[0] if share else _no_rows(part), part.y.index_select(0, rows)

    def in_order(self, part: Part, size: int) -> Iterator[Batch]:
        at_once = size * self.size
        for x, whole in self.batches(part, torch.arange(len(part)), at_once, math.ceil(len(part) / at_once)):
            yield x, self.own(whole)

    def sum(self, values: Tensor) -> Tensor:
        with losing():
            dist.all_reduce(values)
        return values

    def norms(self, norms: Tensor) -> Tensor:
        return self.sum(norms.square()).sqrt_()

    def joined(self, tensors: Sequence[Tensor]) -> Tensor:
        gathered: list[list[Tensor]] = [[] for _ in range(self.size)]
        with losing():
            dist.all_gather_object(gathered, [tensor.cpu() for tensor in tensors], group=self._control)
        device = tensors[0].device if tensors else None
        return torch.cat([tensor for of_rank in gathered for tensor in of_rank]).to(device)

    def same(self, values: Tensor) -> Tensor:
        with losing():
            dist.broadcast(values, 0)
        return values

    def agreed(self, value: Value) -> Value:
        box = [value]
        with losing():
            dist.broadcast_object_list(box, 0, group=self._control)
        return box[0]

    def each(self, state: Any) -> Any:
        states: list[Any] = [None] * self.size
        with losing():
            dist.all_gather_object(states, _on_cpu(state), group=self._control)
        return states

    def mine(self, state: Any) -> Any:
        return state[self.rank]

    def asking(self, question: Callable[Given, Value]) -> Callable[Given, Value]:
        return Asking(question, self)

    def begin(self, seed: int) -> None:
        """From here on each rank draws its own dropout; rank 0 as a process alone would."""
        if self.rank:
            torch.manual_seed(MOST_RANKS * seed + self.rank)


@contextmanager
def losing() -> Iterator[None]:
    """torch has no exception of its own for a peer that has gone: gloo raises a plain RuntimeError."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as problem:
        raise RankLost(str(problem)) from problem


def _no_rows(part: Part) -> Tensor:
    x, _ = next(part.batches(torch.zeros(1, dtype=torch.int64), 1, 1))
    return x[:0]


def _on_cpu(state: Any) -> Any:
    """Else whoever reads it would open the GPU that it comes from."""
    if isinstance(state, dict):
        return {name: _on_cpu(value) for name, value in state.items()}
    return state.cpu() if isinstance(state, Tensor) else state


class Asking(Generic[Given, Value]):
    """Tells all ranks rank 0's answer to a question, now and then; in between it is no."""

    def __init__(self, question: Callable[Given, Value], ranks: Ranks) -> None:
        self._question = question
        self._ranks = ranks
        self._calls, self._calls_between = 0, 0
        self._told_at = time.monotonic()

    def __call__(self, *given: Given.args, **named: Given.kwargs) -> Any:
        self._calls += 1
        if self._calls <= self._calls_between and not any(given):
            return None
        # How many calls later the next exchange comes is told too, for clocks differ.
        mine = None if self._ranks.rank else (self._question(*given, **named), self._next())
        answer, calls_between = self._ranks.agreed(mine) or (None, 0)
        self._calls, self._calls_between = 0, 0 if answer else calls_between
        return answer

    def _next(self) -> int:
        now, before = time.monotonic(), self._told_at
        self._told_at = now
        return max(0, min(int(self._calls * ASK_SECONDS / max(now - before, 1e-9)) - 1, MOST_CALLS))
