"""A step as one CUDA graph: what Python launches kernel by kernel is recorded once, and then launched as a whole.

    step = graphed(eager, rows=64, exact=False)
    step(batches, sample, see)  # as `EagerStep`

A graph repeats its kernels on the same memory. So it reads a batch that was copied to where it looks for one, and the
learning rate from a scalar of the device; it writes to the weights, gradients and optimizer state that eager steps use
too, so that both mix freely. Replayed are the steps of one full batch that are not sampled; all others run eagerly.

The first of them runs eagerly too, and is the judge of the graph: replayed from the same state it must come to the same
weights, gradients, optimizer state, buffers, outputs and loss. If it does not, or cannot be recorded, the job goes on
without a graph, and says so in the log.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from models.definitions.training import Adam, AdamW, Sgd, Training
from models.shapes import Architecture
from workers.training.parts import Batch
from workers.training.recorder import UNSAMPLED, Step
from workers.training.step import EagerStep, See

log = logging.getLogger(__name__)

Results = tuple[Tensor, Tensor]
"""Outputs and loss."""

TOLERANCE = 1e-5
"""How far a replay may be from the eager step, as a share of the length of each vector; 0 for deterministic jobs."""
WARM_UPS = 3
"""Steps before the recording, as torch asks: libraries allocate their workspaces and choose their algorithms."""

MOST_VALUES = 2**23
"""Parameters and activations of a batch, together, up to which launching takes longer than computing. A launch takes
about 5 us, in which a large GPU passes over a few million floats; a step has dozens of them, over parts of these. Above
it a graph saves little, and its own memory for activations would be felt. An estimate, not yet a measurement."""
LEAST_STEPS = 500
"""Of a run. Recording costs some ten steps and some ten milliseconds; a replay saves a fraction of one."""

CAPTURABLE = (Sgd, Adam, AdamW)
"""Their kernels read the rate from the device; those of the others get it as a number, which a graph would repeat."""
NOT_CAPTURABLE = (nn.RNNBase, nn.Dropout)
"""cuDNN's recurrence plans by itself; and whether a replay draws as eager steps do is not certain enough."""


def can_be_captured(training: Training, network: nn.Module, device: torch.device) -> bool:
    """Whether a step of this job is the same kernels every time."""
    return (
        device.type == "cuda"
        and training.accumulate == 1
        and isinstance(training.optimizer, CAPTURABLE)
        and not any(isinstance(module, NOT_CAPTURABLE) for module in network.modules())
    )


def pays(architecture: Architecture, rows: int, steps: int) -> bool:
    """Whether launches dominate a step, and there are steps enough to win the recording back."""
    activations = rows * sum(layer.activations for layer in architecture.layers)
    return steps >= LEAST_STEPS and architecture.parameters + activations <= MOST_VALUES


class Graph(Protocol):
    def capture(self, work: Callable[[], Results]) -> Results:
        """Records `work`, after doing it a few times; gives the tensors into which replays write its results."""

    def replay(self) -> None: ...


class CudaGraph:
    """https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs"""

    def __init__(self) -> None:
        self._graph = torch.cuda.CUDAGraph()

    def capture(self, work: Callable[[], Results]) -> Results:
        current, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(current)
        try:
            # This block gives the stream back also where the recording fails: the one within it then does not.
            with torch.cuda.stream(side):
                for _ in range(WARM_UPS):
                    work()
                # thread_local: the thread that reads ahead may go on allocating pinned memory.
                with torch.cuda.graph(self._graph, stream=side, capture_error_mode="thread_local"):
                    return work()
        finally:
            current.wait_stream(side)

    def replay(self) -> None:
        self._graph.replay()


def graphed(eager: EagerStep, rows: int, exact: bool, new_graph: Callable[[], Graph] = CudaGraph) -> "GraphedStep":
    """`rows`: of a full batch. `exact`: whether the graph has to be the eager step bit for bit."""
    rate = torch.zeros((), device=eager.parameters.values.device)
    eager.optimizer.device_rate = rate
    return GraphedStep(eager, rows, 0.0 if exact else TOLERANCE, new_graph, rate)


@dataclass
class GraphedStep:
    """Replays what can be replayed, and leaves the rest to the eager step."""

    eager: EagerStep
    rows: int
    tolerance: float
    new_graph: Callable[[], Graph]
    rate: Tensor
    """The optimizer's, for eager steps too: in float32 a rate is not quite the one in double."""
    is_refused: bool = False
    """Whether the graph failed, so that all steps are eager."""
    captured: "Captured | None" = field(default=None, init=False)

    def __call__(self, batches: list[Batch], sample: Step, see: See) -> None:
        rate = self.eager.optimizer.rate
        self.rate.fill_(rate)
        x, y = batches[0]
        if self.is_refused or sample is not UNSAMPLED or len(batches) > 1 or len(y) != self.rows:
            self.eager(batches, sample, see)
        elif self.captured is None:
            see(*self._first(x, y, rate), y)
        else:
            see(*self.captured.step(x, y), y)

    def _first(self, x: Tensor, y: Tensor, rate: float) -> Results:
        """The eager step, and the graph that does the same, if there is one. The state is the eager step's after it.

        Recorded is a step at another rate on rows in another order: so the replay shows that it reads both anew.
        """
        state = self._state()
        before = clones(state)
        results = done(self.eager, x, y)
        after = clones(state)
        try:
            self.rate.zero_()
            captured = Captured(self.eager, self.new_graph(), x.flip(0), y.flip(0))
            self.rate.fill_(rate)
            put(state, before)
            replayed = captured.step(x, y)
            if are_close([*state, *replayed], [*after, *results], self.tolerance):
                self.captured = captured
            else:
                log.warning("a CUDA graph of the step does not do what the step does; the job goes on without one")
        except Exception:  # whatever it was, the job has its eager step
            log.warning("the step could not be recorded as a CUDA graph; the job goes on without one", exc_info=True)
        self.is_refused = self.captured is None
        self.rate.fill_(rate)
        put(state, after)
        return results

    def _state(self) -> list[Tensor]:
        """All that a step writes."""
        parameters, optimizer = self.eager.parameters, self.eager.optimizer
        buffers = self.eager.network.buffers()
        written = [parameters.values, parameters.gradients, *optimizer.vectors.values(), optimizer.steps, *buffers]
        return [*written, *self.eager.guard.tensors()]


class Captured:
    """The graph of a step, with the batch that it reads."""

    def __init__(self, eager: EagerStep, graph: Graph, x: Tensor, y: Tensor) -> None:
        """Takes some steps on the batch, and keeps it; putting the state back is the caller's."""
        self._x, self._y = x, y
        self._graph = graph
        with torch.random.fork_rng([x.device] if x.is_cuda else []):
            self._results = graph.capture(lambda: done(eager, self._x, self._y))

    def step(self, x: Tensor, y: Tensor) -> Results:
        """Outputs and loss, copied, for the next replay overwrites its own."""
        self._x.copy_(x)
        self._y.copy_(y)
        self._graph.replay()
        outputs, loss = self._results
        return outputs.clone(), loss.clone()


def done(eager: EagerStep, x: Tensor, y: Tensor) -> Results:
    """An eager step on one batch. Detached: the backward graph of an earlier step, if it were kept alive, would tie a
    recording to the stream of that step, and torch would refuse it."""
    seen: list[Results] = []
    eager([(x, y)], UNSAMPLED, lambda outputs, loss, _: seen.append((outputs.detach(), loss.detach())))
    return seen[0]


def clones(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.clone() for tensor in tensors]


@torch.no_grad()
def put(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)


def are_close(found: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float) -> bool:
    """Whether each tensor is as far from the expected one as `tolerance` times its length, at most. Never where there
    are NaNs. By length, not by element: a gradient that is noise around 0 may be a step of Adam in either direction."""
    return all(
        bool((one.double() - other.double()).norm() <= tolerance * other.double().norm())
        for one, other in zip(found, expected, strict=True)
    )
