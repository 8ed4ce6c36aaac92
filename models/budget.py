"""How many steps and epochs a job takes: a pure function of its definition and the rows it trains on."""

import math

from models.definitions.training import DEFAULT_EPOCHS, MOST_EPOCHS, Training


def batches_per_epoch(rows: int, batch_size: int, batch_norm: bool) -> int:
    """All batches count, the last and smaller one too, unless it has one row and the network has batch norm."""
    full, rest = divmod(rows, batch_size)
    return full + (rest > (1 if batch_norm else 0))


def steps_per_epoch(rows: int, training: Training, batch_norm: bool) -> int:
    """Optimizer steps: one for every `accumulate` batches, and one for what is left of them at the end."""
    return math.ceil(batches_per_epoch(rows, training.batch_size, batch_norm) / training.accumulate)


def epochs_of(training: Training, steps_an_epoch: int) -> int:
    """The epochs of a run that is not stopped before."""
    if training.epochs is not None:
        return training.epochs
    if training.max_steps is not None:
        return min(math.ceil(training.max_steps / max(steps_an_epoch, 1)), MOST_EPOCHS)
    return DEFAULT_EPOCHS if training.max_seconds is None else MOST_EPOCHS


def steps_of(training: Training, steps_an_epoch: int) -> int:
    """The optimizer steps of a run that is not stopped before."""
    steps = epochs_of(training, steps_an_epoch) * steps_an_epoch
    return steps if training.max_steps is None else min(steps, training.max_steps)
