"""The engine ends with the weights of a plain loop: torch's own optimizers and layout, tensor by tensor, 20 steps."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.definitions.job import JobDefinition
from workers.training.job import Trainer
from workers.training.networks import build
from workers.training.parts import Resident
from workers.training.stopwatch import Stopwatch

STEPS = 20
NETWORKS: dict[str, dict[str, Any]] = {
    "dnn": {"family": "dnn", "hidden": [32, 32], "norm": "layer"},
    "cnn": {
        "family": "cnn",
        "blocks": [{"filters": 4, "pool": "max"}, {"filters": 6, "residual": True}],
        "hidden": [16],
    },
    "rnn": {"family": "rnn", "cell": "lstm", "hidden": 16},
}
OPTIMIZERS: dict[str, tuple[dict[str, Any], Any]] = {
    "sgd": ({"kind": "sgd"}, lambda p, **all_: torch.optim.SGD(p, 0.01, **all_)),
    "momentum": ({"kind": "sgd", "momentum": 0.9}, lambda p, **all_: torch.optim.SGD(p, 0.01, 0.9, **all_)),
    "nesterov": (
        {"kind": "sgd", "momentum": 0.9, "nesterov": True},
        lambda p, **all_: torch.optim.SGD(p, 0.01, 0.9, nesterov=True, **all_),
    ),
    "adam": ({"kind": "adam"}, torch.optim.Adam),
    "adamw": ({"kind": "adamw"}, torch.optim.AdamW),
    "rmsprop": ({"kind": "rmsprop"}, lambda p, **all_: torch.optim.RMSprop(p, 0.001, **all_)),
    "adagrad": ({"kind": "adagrad"}, torch.optim.Adagrad),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_its_weights_are_those_of_a_plain_loop(folder: Path, network: str, optimizer: str) -> None:
    plain, torchs = OPTIMIZERS[optimizer]
    definition = JobDefinition.model_validate(
        {
            "network": NETWORKS[network],
            "data": {"dataset": "digits_rows" if network == "rnn" else "digits", "validation": None},
            "training": {"max_steps": STEPS, "optimizer": plain, "weight_decay": 0.001, "clip": {"norm": 1.0}},
            "gradients": {"every_steps": 3},
        }
    )
    trainer = Trainer.prepare(definition, folder, torch.device("cpu"), lambda _: None, lambda: None, Stopwatch())
    trainer.run_once(0)
    assert trainer.network is not None
    twin = plainly_trained(definition, trainer, torchs)
    for (name, mine), theirs in zip(trainer.network.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6, msg=name)


def plainly_trained(definition: JobDefinition, trainer: Trainer, optimizer_of: Any) -> nn.Module:
    part = trainer.data.training
    assert isinstance(part, Resident)
    torch.manual_seed(0)
    network = build(definition.network, trainer.shape)
    optimizer = optimizer_of(network.parameters(), weight_decay=0.001)
    order = torch.Generator().manual_seed(0)
    for rows in torch.randperm(len(part), generator=order).split(64)[:STEPS]:
        loss = nn.functional.cross_entropy(network(part.x[rows]), part.y[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return network
