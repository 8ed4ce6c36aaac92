"""The reference of a job definition as markdown, written from the models themselves: docs/definitions.md.

python -m models.definitions.reference
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from models.columns import Column, Columns
from models.definitions import initial, layers, network, training
from models.definitions.base import Strict
from models.definitions.callback import Callback
from models.definitions.data import Data, ValidationSet
from models.definitions.job import Gradients, JobDefinition, Repair, Resources
from models.definitions.uploaded import StoredArray, Uploaded, Window
from models.diagnosis.finding import Code

PAGE = Path(__file__).parents[2] / "docs" / "definitions.md"
Schema = dict[str, Any]

INTRODUCTION = """# Definitions

What `POST /v1/jobs` takes, field by field; `make reference` writes this page from the code. A definition takes what is
written and guesses nothing: no unknown field, no `"5"` for `5`, no NaN, no infinity. What does not fit is refused at
once, each with its place: all fields together, then the data set, then the shapes. [Data sets](datasets.md) have a page
of their own.
"""

SHARED: dict[str, tuple[Any, str]] = {
    "Activation": (
        initial.Activation,
        "`maxout` is the larger of two affine maps of the input (Goodfellow et al. 2013), so it has twice the weights.",
    ),
    "Init": (initial.Init, "How weights begin: a name, or an object where it needs other parameters."),
    "Code": (Code, "Findings of a diagnosis, in order of precedence ([Diagnosis](diagnosis.md))."),
    "RecurrentInit": (initial.RecurrentInit, "How recurrent weights begin: a name, or an object with a gain."),
}
"""Types of several fields, and what they are."""

CHAPTERS: dict[str, tuple[type[Strict] | str, ...]] = {
    "Job": (JobDefinition, Data, ValidationSet),
    "Networks": (network.Dnn, network.Cnn, network.Block, network.Rnn, network.Embedding, network.Sequential),
    "Layers of a sequential network": (
        layers.Dense,
        layers.Convolution,
        layers.Recurrent,
        layers.EmbeddingLayer,
        layers.Frames,
        layers.Pooling,
        layers.Readout,
        layers.Residual,
    ),
    "Activations and initial weights": (
        "Activation",
        "Init",
        initial.AutoInit,
        initial.DefaultInit,
        initial.GainInit,
        initial.ZerosInit,
        initial.ConstantInit,
        initial.NormalInit,
        initial.UniformInit,
        "RecurrentInit",
        initial.RecurrentInitial,
    ),
    "Training": (training.Training, training.Clip, training.Stop, training.Pretraining),
    "Optimizers": (training.Sgd, training.Adam, training.AdamW, training.RmsProp, training.AdaGrad),
    "Schedules of the learning rate": (
        training.ConstantSchedule,
        training.StepSchedule,
        training.CosineSchedule,
        training.OneCycleSchedule,
        training.PlateauSchedule,
    ),
    "Recording, repairs, callbacks and resources": (Gradients, Repair, "Code", Callback, Resources),
    "What the service fills in of uploaded data": (Uploaded, Columns, Column, Window, StoredArray),
}
"""In the order in which a newcomer reads."""

EXAMPLES: dict[type[Strict], Schema] = {
    JobDefinition: {"network": {"family": "dnn", "hidden": [32]}, "data": {"dataset": "iris"}},
    Data: {"dataset": "spirals", "parameters": {"arms": 3}},
    ValidationSet: {"dataset": "dat_06f3s4r0m8vd2a9k1z7c5x4b3n"},
    Uploaded: {"kind": "table", "rows": 150, "task": "regression", "input_shape": [4], "outputs": 1},
    Columns: {"columns": [{"name": "age", "kind": "number"}], "features": ["age"]},
    Column: {"name": "colour", "kind": "category", "categories": ["blue", "red"], "stored": "code"},
    Window: {"length": 24},
    StoredArray: {"key": "datasets/dat_1/1/table.npy", "size": 2528, "sha256": "9f86d081..."},
    network.Dnn: {"family": "dnn", "hidden": [64, 32]},
    network.Cnn: {"family": "cnn", "blocks": [{"filters": 16, "pool": "max"}]},
    network.Block: {"filters": 16},
    network.Rnn: {"family": "rnn", "hidden": 32},
    network.Embedding: {"size": 16},
    network.Sequential: {
        "family": "sequential",
        "layers": [{"kind": "recurrent", "hidden": 32}, {"kind": "readout"}, {"kind": "dense", "width": 16}],
    },
    layers.Dense: {"kind": "dense", "width": 32},
    layers.Convolution: {"kind": "convolution", "filters": 16},
    layers.Recurrent: {"kind": "recurrent", "hidden": 32},
    layers.EmbeddingLayer: {"kind": "embedding", "size": 16},
    layers.Frames: {"kind": "frames"},
    layers.Pooling: {"kind": "pooling"},
    layers.Readout: {"kind": "readout"},
    layers.Residual: {"kind": "residual", "layers": [{"kind": "dense", "width": 32}, {"kind": "dense", "width": 32}]},
    initial.AutoInit: {"kind": "auto", "bias": 0.1},
    initial.DefaultInit: {"kind": "default"},
    initial.GainInit: {"kind": "orthogonal", "gain": 1.5},
    initial.ZerosInit: {"kind": "zeros"},
    initial.ConstantInit: {"kind": "constant", "value": 0.1},
    initial.NormalInit: {"kind": "normal", "std": 0.8, "bias": -10},
    initial.UniformInit: {"kind": "uniform", "bound": 0.1},
    initial.RecurrentInitial: {"kind": "identity", "gain": 0.9},
    training.Training: {"epochs": 50, "optimizer": {"kind": "sgd", "learning_rate": 0.1, "momentum": 0.9}},
    training.Clip: {"norm": 1.0},
    training.Stop: {"patience": 10},
    training.Pretraining: {"kind": "autoencoder"},
    training.Sgd: {"kind": "sgd", "learning_rate": 0.1},
    training.Adam: {"kind": "adam"},
    training.AdamW: {"kind": "adamw"},
    training.RmsProp: {"kind": "rmsprop"},
    training.AdaGrad: {"kind": "adagrad"},
    training.ConstantSchedule: {"kind": "constant", "warmup_steps": 100},
    training.StepSchedule: {"kind": "step", "every": 20},
    training.CosineSchedule: {"kind": "cosine"},
    training.OneCycleSchedule: {"kind": "one_cycle"},
    training.PlateauSchedule: {"kind": "plateau"},
    Gradients: {"every_steps": 10},
    Repair: {"max_jobs": 2},
    Callback: {"url": "https://hooks.example/descent", "events": ["job.succeeded", "job.failed"]},
    Resources: {"device": "cpu"},
}


def reference() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *_lines()])


def _lines() -> Iterator[str]:
    definitions = _definitions()
    for chapter, parts in CHAPTERS.items():
        yield f"## {chapter}\n"
        for part in parts:
            yield from _shared(part) if isinstance(part, str) else _section(part, definitions[part.__name__])


def _definitions() -> dict[str, Schema]:
    """The JSON schema of each model by its name."""
    schema = JobDefinition.model_json_schema()
    return {**schema.pop("$defs"), JobDefinition.__name__: schema}


def _shared(name: str) -> Iterator[str]:
    alias, meaning = SHARED[name]
    yield f"### {name}\n\n{meaning}\n\n{_choices(TypeAdapter(alias).json_schema())}\n"


def _section(model: type[Strict], schema: Schema) -> Iterator[str]:
    yield f"### {model.__name__}\n\n{_one_line(schema['description'])}\n"
    yield "| field | type | default | meaning |\n|---|---|---|---|"
    fields: Schema = schema["properties"]
    for name in sorted(fields, key=lambda name: name not in TAGS):
        field = fields[name]
        default = "required" if name in schema.get("required", ()) else _default(field["default"])
        meaning = _one_line(field.get("description", TAGS.get(name, "")))
        yield f"| `{name}` | {type_of(field).replace('|', PIPE)} | {default} | {meaning} |"
    yield f"\nExample: {_code(EXAMPLES[model])}\n"


TAGS = {"family": "Which network it is.", "kind": "Which of its kind it is."}
"""Fields that tell one object from another."""
PIPE = r"\|"
"""A | in a table."""


def type_of(schema: Schema) -> str:
    """A JSON schema in words."""
    if shared := _shared_name(schema):
        return _link(shared)
    if "$ref" in schema:
        return _link(schema["$ref"].rsplit("/", 1)[1])
    return _choices(schema)


def _choices(schema: Schema) -> str:
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(type_of(choice) for choice in schema[key])
    if "const" in schema or "enum" in schema:
        return " | ".join(_code(value) for value in schema.get("enum", [schema.get("const")]))
    return WORDS[schema["type"]](schema)


def _shared_name(schema: Schema) -> str | None:
    """The name of a type of several fields."""
    for name, (alias, _) in SHARED.items():
        shared = TypeAdapter(alias).json_schema()
        if all(schema.get(key) == shared.get(key) for key in ("enum", "oneOf")):
            return name
    return None


def _number(schema: Schema) -> str:
    bounds = [f"{sign} {_short(schema[key])}" for key, sign in BOUNDS.items() if key in schema]
    return f"{schema['type']} {' and '.join(bounds)}".strip()


def _extent(schema: Schema, what: str, unit: str) -> str:
    most = schema.get(f"max{what}")
    return "" if most is None else f" of {schema.get(f'min{what}', 0)} to {_short(most)} {unit}"


BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
WORDS: dict[str, Callable[[Schema], str]] = {
    "integer": _number,
    "number": _number,
    "string": lambda schema: f"string{_extent(schema, 'Length', 'characters')}",
    "array": lambda schema: f"list{_extent(schema, 'Items', 'items,')} each {type_of(schema['items'])}",
    "object": lambda schema: f"object{_keys(schema)} with values {type_of(schema['additionalProperties'])}",
    "boolean": lambda _: "boolean",
    "null": lambda _: "`null`",
}


def _keys(schema: Schema) -> str:
    """Names are texts, which a schema does not say again."""
    names = schema.get("propertyNames")
    return "" if names is None else f" by {type_of({'type': 'string'} | names)}"


def _short(number: float) -> str:
    """1 000 000 for 1e6, and large powers of two as such."""
    if number != int(number):
        return str(number)
    whole = int(number)
    if whole > 1_000_000 and whole.bit_count() == 1:
        return f"2^{whole.bit_length() - 1}"
    return f"{whole:,}".replace(",", " ") if abs(whole) >= 10_000 else str(whole)


def _default(value: Any) -> str:
    """An object stands for its own defaults, so its kind says it all."""
    return _code({tag: value[tag] for tag in TAGS if tag in value} if isinstance(value, dict) else value)


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _code(value: Any) -> str:
    return f"`{json.dumps(value)}`"


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", PIPE)


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
