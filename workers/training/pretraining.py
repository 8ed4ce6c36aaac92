"""Greedy layer-wise pre-training (Bengio et al. 2007): each hidden layer in turn learns to give its input back.

For layer l, with the layers before it as they are and at rest: h = layer(x), x' = decoder(h), and the mean squared
distance of x' from x is minimised over the layer and its decoder, a linear map that is thrown away afterwards. x is
computed anew for each batch: for all rows at once it would take rows x width of memory.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models.definitions.training import Training
from workers.training.metrics import MeanLoss
from workers.training.networks import Dense
from workers.training.optimizers import build_optimizer, clip_gradients
from workers.training.parameters import FlatParameters
from workers.training.parts import Part
from workers.training.randomness import random_state, restore_random_state
from workers.training.ranks import ALONE, Ranks
from workers.training.state import State


class Pretraining:
    """Trains the hidden layers of a dnn; `results` has each layer's first and last loss."""

    def __init__(
        self,
        network: nn.Module,
        part: Part,
        training: Training,
        batches_per_epoch: int,
        seed: int,
        stepped: Callable[[Callable[[], State]], str | None],
        ranks: Ranks = ALONE,
    ) -> None:
        """`stepped` is called after each step with what gives the state then, and says why to leave, if so."""
        assert training.pretraining is not None
        self.results: list[dict[str, Any]] = []
        self._network = network
        self._part, self._training, self._batches = part, training, batches_per_epoch
        self._epochs = training.pretraining.epochs
        self._stepped = stepped
        self._ranks = ranks
        self._order = torch.Generator().manual_seed(seed)
        self._layers = [(name, layer) for name, layer in network.named_children() if isinstance(layer, Dense)]
        self._before = nn.Sequential(nn.Flatten())
        self._under_way: Autoencoder | None = None

    def run(self) -> str | None:
        """Trains each layer: gives what stopped it, None if nothing did."""
        for name, layer in self._layers[len(self.results) :]:
            self._under_way = self._under_way or self._autoencoder(layer)
            losses = self._under_way.losses
            while len(losses) < self._epochs:
                if stopped := self._train_epoch(self._under_way):
                    return stopped
            self._end_layer({"layer": name, "first_loss": losses[0], "last_loss": losses[-1]})
        return None

    def state(self) -> State:
        """Between two steps."""
        assert self._under_way is not None
        return {
            "network": self._network.state_dict(),
            "results": self.results,
            "layer": self._under_way.state(),
            "random": self._ranks.each(random_state(self._part.device)),
        }

    def restore(self, state: State) -> None:
        """Layers that are done are set up too, so that their weights lie in memory as they did."""
        for result in state["results"]:
            self._autoencoder(self._layers[len(self.results)][1])
            self._end_layer(result)
        self._under_way = self._autoencoder(self._layers[len(self.results)][1])
        self._under_way.restore(state["layer"])
        self._network.load_state_dict(state["network"])
        restore_random_state(self._ranks.mine(state["random"]), self._part.device)

    def _autoencoder(self, layer: Dense) -> "Autoencoder":
        return Autoencoder(layer, self._training, self._part.device, self._ranks)

    def _train_epoch(self, autoencoder: "Autoencoder") -> str | None:
        part, size = self._part, self._training.batch_size
        rows = autoencoder.begin_epoch(self._order, len(part))[autoencoder.steps * size :]
        batches = self._ranks.batches(part, rows, size, self._batches - autoencoder.steps) if len(rows) else ()
        for x, y in batches:
            with torch.no_grad():
                given = self._before(x)
            autoencoder.step(given, len(y))
            if stopped := self._stepped(self.state):
                return stopped
        autoencoder.end_epoch()
        return None

    def _end_layer(self, result: dict[str, Any]) -> None:
        self._before.append(self._layers[len(self.results)][1].eval())
        self.results.append(result)
        self._under_way = None


class Autoencoder:
    """One layer and its decoder."""

    def __init__(self, layer: Dense, training: Training, device: torch.device, ranks: Ranks) -> None:
        self._layer = layer
        self._decoder = nn.Linear(_width(layer), layer.linear.in_features).to(device)
        self._parameters = FlatParameters(nn.ModuleList([layer, self._decoder]))
        ranks.same(self._parameters.values)
        self._ranks = ranks
        self._optimizer = build_optimizer(training, self._parameters)
        self._clip = training.clip
        self._mean = MeanLoss(device, ranks)
        self._drawn_from: Tensor | None = None
        self.steps = 0
        """Of the epoch under way."""
        self.losses: list[float] = []
        """The mean of each epoch."""
        layer.train()

    def begin_epoch(self, order: torch.Generator, rows: int) -> Tensor:
        """The order of the rows in the epoch; it may have begun before."""
        if self._drawn_from is not None:
            order.set_state(self._drawn_from)
        self._drawn_from = order.get_state()
        return torch.randperm(rows, generator=order)

    def step(self, given: Tensor, rows: int) -> None:
        """`rows`: of the whole batch."""
        share = len(given) / rows
        loss = nn.functional.mse_loss(self._decoder(self._layer(given)), given)
        self._parameters.zero_gradients()
        (loss * share).backward()  # type: ignore[no-untyped-call]
        self._ranks.sum(self._parameters.gradients)
        if self._clip:
            clip_gradients(self._clip, self._parameters.gradients)
        self._optimizer.step()
        if share:
            self._mean.add(loss, share)
        self.steps += 1

    def end_epoch(self) -> None:
        self.losses.append(self._mean.mean() or 0.0)
        self._mean = MeanLoss(self._parameters.values.device, self._ranks)
        self.steps, self._drawn_from = 0, None

    def state(self) -> State:
        return {
            "decoder": self._decoder.state_dict(),
            "optimizer": self._optimizer.state(),
            "mean": self._ranks.each(self._mean.state()),
            "order": self._drawn_from,
            "steps": self.steps,
            "losses": self.losses,
        }

    def restore(self, state: State) -> None:
        self._decoder.load_state_dict(state["decoder"])
        self._optimizer.restore(state["optimizer"])
        self._mean.restore(self._ranks.mine(state["mean"]))
        self._drawn_from, self.steps, self.losses = (state[name] for name in ("order", "steps", "losses"))


def _width(layer: Dense) -> int:
    """Of what the layer gives."""
    with torch.no_grad():
        return int(layer.eval()(torch.zeros(1, layer.linear.in_features, device=layer.linear.weight.device)).shape[1])
