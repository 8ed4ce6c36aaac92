"""What a user would pick instead of Descent, each as its documentation says, on the same rows, batches and optimizer.

    contender = keras(workload)
    contender()  # seconds an epoch

A peer whose `fit` has a set-up of its own trains one epoch more than is counted: from the end of the first to the end
of the last. Each is imported when it is first made.
"""

import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.keras_networks import NETWORKS
from benchmarks.loops import Bare
from benchmarks.workloads import Workload

Contender = Callable[[], float]
RATE = 1e-3
"""Of every optimizer: the default of torch's Adam, and of Descent's."""


def loader_of(workload: Workload) -> "DataLoader[Any]":
    return DataLoader(TensorDataset(workload.x, workload.targets), workload.batch_size, shuffle=True)


class LoaderLoop(Bare):
    """The loop by hand, over torch's DataLoader."""

    def epoch(self) -> None:
        loss_of, loader = self.workload.loss, loader_of(self.workload)
        for x, y in loader:
            loss = loss_of(self.network(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()


@contextmanager
def silence() -> Iterator[None]:
    """No progress bar in the report, and no word that a DataLoader has no worker processes: the rows are in memory."""
    with (
        warnings.catch_warnings(action="ignore"),
        Path(os.devnull).open("w") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere),
    ):
        yield


def counted(ends: list[float]) -> float:
    """Seconds an epoch, of the moments at which epochs ended."""
    return (ends[-1] - ends[0]) / (len(ends) - 1)


def lightning(workload: Workload, everything: bool) -> Contender:
    """With all that is on by default and the loss logged; or barebones, which is Lightning's name for all off."""
    import lightning

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    ends: list[float] = []

    class Network(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = workload.plain_network()
            self.loss = workload.loss

        def training_step(self, batch: Any, index: int) -> Any:
            x, y = batch
            loss = self.loss(self.network(x), y)
            if everything:
                self.log("train_loss", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=RATE)

        def on_train_epoch_end(self) -> None:
            ends.append(time.perf_counter())

    network, folder = Network(), tempfile.TemporaryDirectory()
    options: dict[str, Any] = {} if everything else {"barebones": True}

    def turn() -> float:
        ends.clear()
        with silence():
            epochs = workload.epochs_a_turn + 1
            trainer = lightning.Trainer(
                max_epochs=epochs, accelerator="cpu", devices=1, default_root_dir=folder.name, **options
            )
            trainer.fit(network, loader_of(workload))
        return counted(ends)

    return turn


def skorch(workload: Workload) -> Contender:
    """With its default callbacks, silent, and no rows kept for validation."""
    from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
    from skorch.callbacks import Callback

    ends: list[float] = []

    class Clock(Callback):  # type: ignore[misc]
        def on_epoch_end(self, net: Any, **more: Any) -> None:
            ends.append(time.perf_counter())

    kind, loss = (
        (NeuralNetBinaryClassifier, nn.BCEWithLogitsLoss)
        if workload.is_binary
        else (NeuralNetClassifier, nn.CrossEntropyLoss)
    )
    net = kind(
        workload.plain_network(),
        criterion=loss,
        optimizer=torch.optim.Adam,
        lr=RATE,
        batch_size=workload.batch_size,
        max_epochs=workload.epochs_a_turn + 1,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[Clock()],
        verbose=0,
    ).initialize()
    x, y = workload.x.numpy(), workload.targets.numpy()

    def turn() -> float:
        ends.clear()
        net.partial_fit(x, y)
        return counted(ends)

    return turn


def scikit_learn(workload: Workload) -> Contender | None:
    """MLPClassifier, where the network is one that it can be."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    if workload.network["family"] != "dnn":
        return None
    activation = workload.network["activation"]
    classifier = MLPClassifier(
        workload.network["hidden"],
        activation="logistic" if activation == "sigmoid" else activation,
        alpha=0.0,
        batch_size=workload.batch_size,
        learning_rate_init=RATE,
        max_iter=workload.epochs_a_turn,
        tol=0.0,
        n_iter_no_change=10**6,
        warm_start=True,
    )
    x, y = workload.x.numpy(), workload.y.numpy()

    def turn() -> float:
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it says after each turn that it is not done
            classifier.fit(x, y)
        return (time.perf_counter() - started) / workload.epochs_a_turn

    return turn


def keras(workload: Workload) -> Contender:
    """Keras 3 on torch, of Keras' own layers."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    keras.config.set_image_data_format("channels_first")  # as torch convolves
    ends: list[float] = []

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            ends.append(time.perf_counter())

    outputs = 1 if workload.is_binary else 10
    losses = keras.losses
    loss = losses.BinaryCrossentropy if workload.is_binary else losses.SparseCategoricalCrossentropy
    inputs = keras.Input(tuple(workload.x.shape[1:]))
    features = NETWORKS[workload.network["family"]](keras.layers, workload.network, inputs)
    model = keras.Model(inputs, keras.layers.Dense(outputs)(features))
    model.compile(keras.optimizers.Adam(RATE), loss(from_logits=True))
    x, y = workload.x.numpy(), workload.targets.numpy()

    def turn() -> float:
        ends.clear()
        epochs = workload.epochs_a_turn + 1
        model.fit(x, y, batch_size=workload.batch_size, epochs=epochs, verbose=0, callbacks=[Clock()])
        return counted(ends)

    return turn
