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
from typing import Generic, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from workers.training.parts import Batch, Part
from workers.training.transfer import sent

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
        """As `part.in_order`, of this rank's share of the part."""
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

    def asking(self, question: Callable[[], Value]) -> Callable[[], Value]:
        """A question that all ranks ask equally often, about once a step, with rank 0's answer."""
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
        shares = part.batches(own, len(self.own(torch.empty(size))), steps)
        x = torch.empty(0)
        for rows in torch.split(sent(order, part.device), size):
            x, _ = next(shares, (x[:0], x))  # the last batch may have fewer rows than there are ranks
            yield x, part.y.index_select(0, rows)

    def in_order(self, part: Part, size: int) -> Iterator[Batch]:
        own = self.own(torch.arange(len(part)))
        return part.batches(own, size, math.ceil(len(own) / size)) if len(own) else iter(())

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

    def asking(self, question: Callable[[], Value]) -> Callable[[], Value]:
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


class Asking(Generic[Value]):
    """Rank 0's answer to a question, told to all every now and then; a yes remains one."""

    def __init__(self, question: Callable[[], Value], ranks: Ranks) -> None:
        self._question = question
        self._ranks = ranks
        self._answer = ranks.agreed(question())
        self._calls, self._calls_between = 0, 0
        self._told_at = time.monotonic()

    def __call__(self) -> Value:
        self._calls += 1
        if self._calls > self._calls_between and not self._answer:
            # How many calls later the next exchange comes is told too, for clocks differ.
            self._answer, self._calls_between = self._ranks.agreed((self._question(), self._next()))
            self._calls = 0
        return self._answer

    def _next(self) -> int:
        now, before = time.monotonic(), self._told_at
        self._told_at = now
        return max(0, min(int(self._calls * ASK_SECONDS / max(now - before, 1e-9)) - 1, MOST_CALLS))
