"""Greedy layer-wise pre-training (Bengio et al. 2007): each hidden layer in turn learns to give its input back.

For layer l, with the layers before it as they are and at rest: h = layer(x), x' = decoder(h), and the mean squared
distance of x' from x is minimised over the layer and its decoder, a linear map that is thrown away afterwards. x is
computed anew for each batch: for all rows at once it would take rows x width of memory.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from models.definitions.training import Training
from workers.training.metrics import MeanLoss
from workers.training.networks import Dense
from workers.training.optimizers import build_optimizer, clip_gradients
from workers.training.parameters import FlatParameters
from workers.training.parts import Part
from workers.training.ranks import ALONE, Ranks


def pretrain(
    network: nn.Module,
    part: Part,
    training: Training,
    batches_per_epoch: int,
    seed: int,
    stepped: Callable[[], bool],
    ranks: Ranks = ALONE,
) -> list[dict[str, Any]] | None:
    """Trains the hidden layers of a dnn; each layer's first and last loss, or None if `stepped` said to leave.

    `stepped` is called after each step, and is true when the job is cancelled or out of time.
    """
    assert training.pretraining is not None
    order = torch.Generator().manual_seed(seed)
    results = []
    before = nn.Sequential(nn.Flatten())
    for name, layer in network.named_children():
        if not isinstance(layer, Dense):
            continue
        losses = _train_layer(layer, before, part, training, batches_per_epoch, order, stepped, ranks)
        if losses is None:
            return None
        results.append({"layer": name, "first_loss": losses[0], "last_loss": losses[-1]})
        before.append(layer.eval())
    return results


def _train_layer(
    layer: Dense,
    before: nn.Module,
    part: Part,
    training: Training,
    batches_per_epoch: int,
    order: torch.Generator,
    stepped: Callable[[], bool],
    ranks: Ranks,
) -> list[float] | None:
    """The mean loss of each epoch."""
    assert training.pretraining is not None
    decoder = nn.Linear(_width(layer), layer.linear.in_features).to(part.device)
    parameters = FlatParameters(nn.ModuleList([layer, decoder]))
    ranks.same(parameters.values)
    optimizer = build_optimizer(training, parameters)
    layer.train()
    losses = []
    for _ in range(training.pretraining.epochs):
        mean = MeanLoss(part.device, ranks)
        rows = torch.randperm(len(part), generator=order)
        for x, y in ranks.batches(part, rows, training.batch_size, batches_per_epoch):
            with torch.no_grad():
                given = before(x)
            loss = nn.functional.mse_loss(decoder(layer(given)), given)
            share = len(x) / len(y)
            parameters.zero_gradients()
            (loss * share).backward()  # type: ignore[no-untyped-call]
            ranks.sum(parameters.gradients)
            if training.clip:
                clip_gradients(training.clip, parameters.gradients)
            optimizer.step()
            if share:
                mean.add(loss, share)
            if stepped():
                return None
        losses.append(mean.mean() or 0.0)
    return losses


def _width(layer: Dense) -> int:
    """Of what the layer gives."""
    with torch.no_grad():
        return int(layer.eval()(torch.zeros(1, layer.linear.in_features, device=layer.linear.weight.device)).shape[1])
