"""What a training asks for that its network, its data or its device cannot give: found before anything is queued."""

from collections.abc import Callable, Iterator

from models.budget import batches_per_epoch
from models.capacity import Capacity
from models.catalogue import DataShape
from models.definitions.job import JobDefinition
from models.definitions.network import Dnn
from models.errors import Problem
from models.expansion import has_batch_norm
from models.losses import FITTING

BINARY = 2


def misfits(definition: JobDefinition, shape: DataShape, capacity: Capacity) -> Iterator[Problem]:
    """All of them. `shape` is that of the data."""
    for check in CHECKS:
        yield from check(definition, shape)
    yield from _precision(definition, capacity)
    yield from _slots(definition, capacity)


def _loss(definition: JobDefinition, shape: DataShape) -> Iterator[Problem]:
    chosen, fitting = definition.training.loss, FITTING[shape.task]
    if chosen != "auto" and chosen not in fitting:
        detail = f"{chosen} does not fit the data, a {shape.task}."
        hint = f"Write one of {', '.join(fitting)}, or leave it out."
        yield Problem("/training/loss", "wrong_loss", detail, hint)
    elif chosen == "binary_cross_entropy" and shape.outputs != BINARY:
        detail = f"binary_cross_entropy is for two classes; the data have {shape.outputs}."
        yield Problem("/training/loss", "wrong_loss", detail, "Write cross_entropy, or leave it out.")


def _classes(definition: JobDefinition, shape: DataShape) -> Iterator[Problem]:
    """What only a classification has."""
    training = definition.training
    if shape.task == "regression":
        if training.class_weights is not None:
            detail = "Class weights need classes; the data are a regression."
            yield Problem("/training/class_weights", "no_classes", detail, "Leave it out.")
        if training.label_smoothing:
            detail = "Label smoothing needs classes; the data are a regression."
            yield Problem("/training/label_smoothing", "no_classes", detail, "Leave it out.")
    elif isinstance(training.class_weights, tuple) and len(training.class_weights) != shape.outputs:
        given = len(training.class_weights)
        detail = f"There are {given} weights for {shape.outputs} classes."
        hint = 'Give one for each class, in the order of GET /v1/datasets, or write "balanced".'
        yield Problem("/training/class_weights", "wrong_length", detail, hint)


def _validation(definition: JobDefinition, shape: DataShape) -> Iterator[Problem]:
    """What judges by validation, where there is none."""
    if definition.data.validation is not None:
        return
    training = definition.training
    wanting = {
        "/training/stop/patience": training.stop is not None and training.stop.patience is not None,
        "/training/schedule/kind": training.schedule.kind == "plateau",
        "/training/restarts": training.restarts > 1,
    }
    for pointer, wants in wanting.items():
        if wants:
            name = "plateau" if pointer.endswith("kind") else pointer.rsplit("/", 1)[1]
            detail = f"`{name}` goes by the validation loss, and the data keep no validation part."
            yield Problem(pointer, "validation_needed", detail, 'Set "/data/validation", e.g. to 0.2, or leave it out.')


def _schedule(definition: JobDefinition, shape: DataShape) -> Iterator[Problem]:
    """A schedule that runs from the first step to the last, where the last is not known."""
    training = definition.training
    is_endless = training.epochs is None and training.max_steps is None and training.max_seconds is not None
    if is_endless and training.schedule.kind in ("cosine", "one_cycle"):
        detail = f"{training.schedule.kind} is spread over all steps; with `max_seconds` alone their number is unknown."
        yield Problem("/training/schedule/kind", "unknown_steps", detail, "Give `epochs` or `max_steps` too.")


def _pretraining(definition: JobDefinition, shape: DataShape) -> Iterator[Problem]:
    network = definition.network
    if definition.training.pretraining is None or (isinstance(network, Dnn) and network.hidden):
        return
    what = "without hidden layers has nothing to pre-train" if isinstance(network, Dnn) else "cannot be pre-trained"
    detail = f"A {network.family} {what}: auto-encoders, layer by layer, are for the hidden layers of a dnn."
    yield Problem("/training/pretraining", "no_pretraining", detail, "Leave it out.")


def _single_rows(definition: JobDefinition, shape: DataShape) -> Iterator[Problem]:
    """Batch norm has nothing to normalise in a batch of one row."""
    if not has_batch_norm(definition.network):
        return
    if definition.training.batch_size == 1:
        detail = "Batch norm cannot train on batches of one row."
        yield Problem("/training/batch_size", "batch_of_one", detail, 'Use at least 2, or "norm": "layer".')
    elif batches_per_epoch(definition.data.training_rows(shape.rows), definition.training.batch_size, True) == 0:
        detail = "Validation leaves one row to train on, and batch norm cannot train on one."
        yield Problem("/data/validation", "batch_of_one", detail, "Keep fewer rows for validation.")


def _ranks(definition: JobDefinition, shape: DataShape) -> Iterator[Problem]:
    """Processes or GPUs that share each batch, where there is nothing to share or nowhere to do it."""
    resources, training = definition.resources, definition.training
    if resources.gpus > 1 and resources.device == "cpu":
        hint = 'Write "processes" for several of them on the CPU, or "device": "cuda".'
        yield Problem("/resources/gpus", "no_gpus", 'With "device": "cpu" there are no GPUs to use.', hint)
    if resources.processes > 1 and resources.device != "cpu":
        hint = 'Write "gpus", which has a process each, or "device": "cpu".'
        yield Problem("/resources/processes", "not_on_cpu", "`processes` are for the CPU.", hint)
    rows = min(training.batch_size, definition.data.training_rows(shape.rows))
    if rows < resources.ranks:
        detail = f"A batch of {rows} rows cannot be shared by {resources.ranks} processes: some would have none."
        pointer = "/resources/gpus" if resources.gpus > 1 else "/resources/processes"
        yield Problem(pointer, "too_few_rows", detail, f"Use at most {rows}, or larger batches.")


def _precision(definition: JobDefinition, capacity: Capacity) -> Iterator[Problem]:
    device = definition.resources.device
    if definition.training.precision == "bfloat16" and device in capacity.without_bfloat16:
        detail = "No registered worker has a device for this job that computes in bfloat16."
        hint = 'Write "float32", or "auto"; a CPU ("device": "cpu") has bfloat16 too.'
        yield Problem("/training/precision", "no_bfloat16", detail, hint)


def _slots(definition: JobDefinition, capacity: Capacity) -> Iterator[Problem]:
    """More at once than any registered worker has; where none of the kind is registered, one may come."""
    for kind in ("gpus", "processes"):
        wanted, most = getattr(definition.resources, kind), capacity.most.get(kind, 64)
        if wanted > max(most, 1):
            detail = f"The job wants {wanted} {kind} at once, and the largest registered worker has {most}."
            hint = f"Use at most {most}, or start a worker with more slots (DESCENT_SLOTS)."
            yield Problem(f"/resources/{kind}", f"too_many_{kind}", detail, hint)


CHECKS: tuple[Callable[[JobDefinition, DataShape], Iterator[Problem]], ...] = (
    _loss,
    _classes,
    _validation,
    _schedule,
    _pretraining,
    _single_rows,
    _ranks,
)
