"""From the bytes of a request to a definition that can be trained, or to everything that is wrong with it, at once."""

import difflib
import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from models import catalogue
from models.architecture import architecture_on
from models.budget import epochs_of, steps_per_epoch
from models.capacity import Capacity
from models.catalogue import DataShape
from models.definitions import data, initial, job, layers, network, training
from models.definitions.job import JobDefinition
from models.errors import InvalidDefinition, Problem
from models.expansion import has_batch_norm
from models.json_body import MOST_PROBLEMS, escape, parse
from models.misfits import misfits
from models.shapes import Architecture
from models.uploads import Uploads, no_uploads, resolve

CLASS = re.compile(r"a valid dictionary or (?:instance of \w+|object to extract fields from)")
"""What Pydantic calls an object of JSON."""
HINTS = {
    "missing": "Add this field.",
    "int_type": "Write a whole number, without quotes.",
    "int_from_float": "Write a whole number.",
    "float_type": "Write a number, without quotes.",
    "finite_number": "Write a finite number.",
    "bool_type": "Write true or false.",
    "string_type": "Write a text in quotes.",
    "tuple_type": "Write an array: [ ... ].",
    "model_type": "Write an object: { ... }.",
    "dict_type": "Write an object: { ... }.",
    "union_tag_not_found": "Add this field.",
    "too_long": "Shorten it.",
    "too_short": "It needs at least one item.",
    "string_too_long": "Shorten it.",
}
GENERAL_HINT = "See the schema JobDefinition in /openapi.json."
HINT_OF_OTHERS = "See what this call takes in /openapi.json."


@dataclass(frozen=True)
class Admitted:
    """A definition that can be trained."""

    definition: JobDefinition
    """With every default filled in."""
    memory_bytes: int
    """What it is estimated to need of a device."""


def admit(body: bytes, capacity: Capacity, uploads: Uploads = no_uploads) -> Admitted:
    """The definition in the body of a POST; `uploads` are those that its sender may use.

    Raises:
        NotJson: the body is not JSON.
        InvalidDefinition: the definition is wrong, does not fit its data, or asks for more than the workers have.
    """
    definition = read_definition(parse(body), uploads)
    shape = catalogue.shape_of_data(definition.data)
    architecture = examine(definition, shape, capacity)
    if problems := too_large(definition, architecture, shape.rows, capacity):
        raise InvalidDefinition(problems)
    return Admitted(_fill_epochs(definition, shape), needed_memory(definition, architecture, shape.rows))


def read_definition(value: Any, uploads: Uploads = no_uploads) -> JobDefinition:
    """A definition from JSON, with the parameters of its data filled in, and what is known of an uploaded set.

    Raises:
        InvalidDefinition
    """
    try:
        return _fill_data(JobDefinition.model_validate(value), uploads)
    except ValidationError as error:
        raise InvalidDefinition(problems_of(error, value)) from error


def examine(definition: JobDefinition, shape: DataShape, capacity: Capacity) -> Architecture:
    """The layers of the network on data of this shape.

    Raises:
        InvalidDefinition: with all that does not go together.
    """
    problems = list(misfits(definition, shape, capacity))
    try:
        architecture = architecture_on(definition, shape)
    except InvalidDefinition as error:
        raise InvalidDefinition([*error.problems, *problems]) from error
    if problems:
        raise InvalidDefinition(problems)
    return architecture


def _fill_epochs(definition: JobDefinition, shape: DataShape) -> JobDefinition:
    training = definition.training
    rows = definition.data.training_rows(shape.rows)
    steps = steps_per_epoch(rows, training, has_batch_norm(definition.network))
    filled = training.model_copy(update={"epochs": epochs_of(training, steps)})
    return definition.model_copy(update={"training": filled})


def problems_of(error: ValidationError, value: Any, base: str = "") -> list[Problem]:
    """Pydantic's errors as problems, one for each place in the body."""
    found: dict[str, Problem] = {}
    general = GENERAL_HINT if error.title == JobDefinition.__name__ else HINT_OF_OTHERS
    for item in error.errors(include_url=False)[:MOST_PROBLEMS]:
        pointer = base + pointer_of(item["loc"], value)
        before = found.get(pointer)
        detail = told(item["msg"])
        detail = f"{before.detail}; or: {detail}" if before and detail != before.detail else detail
        found[pointer] = Problem(pointer, item["type"], detail, _hint(item, general))
    # Where all items of an array are wrong, Pydantic says too that none is left.
    hollow = [p for p in found.values() if p.code == "too_short" and any(q.startswith(f"{p.pointer}/") for q in found)]
    return [problem for problem in found.values() if problem not in hollow]


def told(message: str) -> str:
    """Pydantic's message as a sentence, without what it says of Pydantic and of classes."""
    message = message.removeprefix("Value error, ").replace("Input should", "It should")
    return CLASS.sub("an object", message).removesuffix(".") + "."


def pointer_of(loc: tuple[str | int, ...], value: Any) -> str:
    """The JSON Pointer of Pydantic's `loc`, which carries the tags of unions too: they name nothing in the body."""
    pointer, node, tag_seen = "", value, False
    for part in loc:
        if not isinstance(node, dict | list):
            break
        is_tag = isinstance(node, dict) and part in (node.get("family"), node.get("kind"))
        if str(part).startswith("~"):
            continue
        if is_tag and not tag_seen:
            tag_seen = True
            continue
        pointer += f"/{escape(str(part))}"
        node = _child(node, part)
        tag_seen = False
    return pointer


def _child(node: Any, part: str | int) -> Any:
    if isinstance(node, list):
        return node[part] if isinstance(part, int) and part < len(node) else None
    return node.get(part)


def _hint(item: Any, general: str) -> str:
    if item["type"] == "extra_forbidden":
        name = str(item["loc"][-1])
        # A field of another place may have just this name.
        close = difflib.get_close_matches(name, [known for known in _field_names() if known != name], n=1)
        return f"Did you mean {close[0]!r}?" if close else "Remove it."
    if item["type"] == "union_tag_invalid":
        return f"It is one of {item['ctx']['expected_tags']}."
    if item["type"] == "literal_error":
        return f"It is one of {item['ctx']['expected']}."
    return HINTS.get(item["type"], general)


def _field_names() -> list[str]:
    models = [kind for module in (job, network, layers, initial, data, training) for kind in vars(module).values()]
    return sorted(
        {
            field
            for kind in models
            if isinstance(kind, type) and issubclass(kind, BaseModel)
            for field in kind.model_fields
        }
    )


def _fill_data(definition: JobDefinition, uploads: Uploads) -> JobDefinition:
    chosen = resolve(definition.data, uploads)
    return definition.model_copy(update={"data": fill_parameters(chosen)})


def fill_parameters(chosen: data.Data) -> data.Data:
    """With the defaults of a generated set.

    Raises:
        InvalidDefinition
    """
    if chosen.uploaded is not None:
        if chosen.parameters:
            detail = "Parameters are for generated sets; an uploaded one takes none."
            raise InvalidDefinition.at("/data/parameters", "no_parameters", detail, "Leave it out.")
        return chosen
    try:
        filled = catalogue.fill_parameters(chosen.dataset, chosen.parameters)
    except KeyError:
        close = difflib.get_close_matches(chosen.dataset, catalogue.names(), n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Built in are {', '.join(catalogue.names())}."
        detail = f"There is no data set {chosen.dataset!r}."
        raise InvalidDefinition.at("/data/dataset", "unknown_dataset", detail, hint) from None
    except ValidationError as error:
        raise InvalidDefinition(_parameter_problems(error, chosen)) from error
    return chosen.model_copy(update={"parameters": filled})


def _parameter_problems(error: ValidationError, chosen: data.Data) -> list[Problem]:
    kind = catalogue.GENERATED.get(chosen.dataset, catalogue.NoParameters)
    known = ", ".join(kind.model_fields) or "none"
    problems = problems_of(error, chosen.parameters, "/data/parameters")
    return [Problem(p.pointer, p.code, p.detail, f"Parameters of {chosen.dataset}: {known}.") for p in problems]


def needed_memory(definition: JobDefinition, architecture: Architecture, rows: int) -> int:
    """Bytes of a device: what `resources.memory` says, else weights, gradients, optimizer and activations."""
    batch = min(definition.training.batch_size, rows)
    estimated = architecture.memory_bytes(definition.training.optimizer.kind, batch)
    return definition.resources.memory or estimated


def too_large(definition: JobDefinition, architecture: Architecture, rows: int, capacity: Capacity) -> list[Problem]:
    """The problem of a job that needs more memory than any device has, if it does. `rows` are those of the data."""
    resources = definition.resources
    # Processes share the memory of a CPU.
    needed = needed_memory(definition, architecture, rows) * resources.processes
    most = capacity.memory_of(resources.wanted_device)
    if needed <= most:
        return []
    device = "GPU" if resources.wanted_device == "cuda" else "worker"
    has = f"and the largest {device} has {_readable(most)} (DESCENT_MEMORY_BYTES)."
    if resources.memory:
        detail = f"The job asks for {_readable(needed)} of memory, {has}"
        return [Problem("/resources/memory", "too_large", detail, f"Write at most {most}, or leave it out.")]
    takes = f"The network has {architecture.parameters:,} parameters; training it takes about {_readable(needed)}"
    hint = "Make layers narrower, use convolution, or pool before the dense layers."
    return [Problem("/network", "too_large", f"{takes}, {has}", hint)]


UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def _readable(size: int) -> str:
    power = min((max(size, 1).bit_length() - 1) // 10, len(UNITS) - 1)
    return f"{size / 1024**power:,.1f} {UNITS[power]}"
