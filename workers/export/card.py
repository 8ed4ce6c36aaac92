"""`model-card.md`: what a model is, what it was trained on, how good it is, what is wrong with it, and how to load it
(Mitchell et al. 2019)."""

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

from models.columns import Column
from models.definitions.data import Data
from models.inputs import MISSING, OUTPUTS, has_categories, input_name
from models.shapes import trace
from workers.training.model import Model

MOST_CLASSES = 20
"""That are listed one by one."""
PICTURES = {
    "loss": "Losses by epoch",
    "gradients": "Gradient norm by layer and step",
    "flow": "Gradient flow by layer",
    "time": "Gradient over time",
    "network": "The layers, and what the diagnosis says of them",
}


def card(model: Model, facts: dict[str, Any]) -> str:
    """Markdown. `facts` of the job: `id name best verdict findings evaluation`, as `models.orders` gives them."""
    said = _metrics(facts), _diagnosis(facts), _pictures(model)
    return "\n".join([*_head(model, facts), *_data(model), *chain(*said), *_loading(model)])


def _head(model: Model, facts: dict[str, Any]) -> Iterator[str]:
    shape, network = model.shape, model.definition.network
    weights = sum(layer.parameters for layer in trace(network, shape).layers)
    yield f"# {facts['name'] or facts['id']}\n"
    yield f"A {network.family} for {shape.task}, trained by Descent as `{facts['id']}`; {weights:,} weights,"
    yield "those of the epoch with the best validation loss, or training loss where nothing was kept for validation.\n"
    yield "`definition.json` says how to train it again.\n"


def _data(model: Model) -> Iterator[str]:
    data, shape = model.definition.data, model.shape
    kept = _kept(data)
    yield "## Data\n"
    yield f"- Data set: `{data.dataset}`, {shape.rows:,} rows, {kept} (seed {data.seed})"
    yield f"- Input: {shape.kind} {list(shape.input_shape)}, normalised: {data.normalise}; {_output(model)}"
    if data.label_noise:
        yield f"- {data.label_noise:.0%} of the training labels were replaced at random, as the definition asked"
    yield ""


def _kept(data: Data) -> str:
    if data.validation_set is not None:
        return f"validated on `{data.validation_set.dataset}`"
    return f"{data.validation:.0%} kept for validation" if data.validation else "nothing kept for validation"


def _output(model: Model) -> str:
    shape = model.shape
    if shape.task == "regression":
        return f"target: {shape.outputs} number(s)"
    named = ", ".join(f"`{name}`" for name in shape.classes[:MOST_CLASSES])
    more = f", ... ({len(shape.classes)} in all)" if len(shape.classes) > MOST_CLASSES else ""
    return f"classes: {named}{more}"


def _metrics(facts: dict[str, Any]) -> Iterator[str]:
    best, evaluation = facts["best"] or {}, facts["evaluation"]
    yield "## How good it is\n"
    yield "| metric of the best epoch | |\n|---|---|"
    yield from (f"| {name} | {_number(value)} |" for name, value in best.items() if name != "nonfinite")
    yield ""
    if not evaluation:
        return
    if evaluation["task"] == "classification":
        yield "| class | precision | recall | F1 | rows |\n|---|---|---|---|---|"
        for one in evaluation["classes"][:MOST_CLASSES]:
            numbers = " | ".join(_number(one[name]) for name in ("precision", "recall", "f1"))
            yield f"| {one['class']} | {numbers} | {one['support']} |"
        yield f"\nExpected calibration error: {_number(evaluation['calibration']['ece'])}.\n"
    else:
        for one in evaluation["outputs"]:
            named = ", ".join(f"{name} {_number(one[name])}" for name in ("mean", "std", "p5", "median", "p95"))
            yield f"Residuals (prediction less truth) on the validation part: {named}.\n"


def _diagnosis(facts: dict[str, Any]) -> Iterator[str]:
    yield "## Diagnosis\n"
    yield f"Verdict: **{facts['verdict']}**.\n"
    for finding in facts["findings"]:
        yield f"- {finding['severity']} `{finding['code']}`: {finding['explanation']}"
    yield ""


def _pictures(model: Model) -> Iterator[str]:
    """Where the service has them, seen from `/v1/jobs/{id}/artifacts/model-card.md`: they are drawn when they are asked
    for, and the card has no bytes of them."""
    is_recurrent = bool(trace(model.definition.network, model.shape).recurrent)
    yield "## Pictures\n"
    for name, shows in PICTURES.items():
        if name != "time" or is_recurrent:
            yield f"![{shows}](../plots/{name}.svg)"
    yield ""


def _loading(model: Model) -> Iterator[str]:
    shape = model.shape
    yield "## How to load it\n"
    yield "`model.onnx` takes the data's own units and gives probabilities, or the target's own units:\n"
    yield "```python"
    yield "import json, numpy as np, onnxruntime"
    yield 'session = onnxruntime.InferenceSession("model.onnx")'
    yield 'classes = json.loads(session.get_modelmeta().custom_metadata_map.get("classes", "[]"))'
    yield f"inputs = {_inputs(model)}  # your rows"
    yield f"[{OUTPUTS[shape.task]}] = session.run(None, inputs)"
    yield "```\n"
    yield "`weights.safetensors` has the weights by the names of PyTorch; with `scales.input.offset` and"
    yield "`scales.input.factor` the network sees `(x - offset) / factor`, and a regression means"
    yield "`output * scales.target.factor + scales.target.offset`:\n"
    yield "```python"
    yield "from safetensors.torch import load_file"
    yield 'weights = load_file("weights.safetensors")'
    yield 'scales = {name: weights.pop(name) for name in list(weights) if name.startswith("scales.")}'
    yield "for name, value in weights.items():"
    yield "    print(name, tuple(value.shape))"
    yield "```\n"
    yield "The network, as it was asked for:\n"
    yield f"```json\n{json.dumps(model.definition.network.plain(), indent=1)}\n```\n"


def _inputs(model: Model) -> str:
    """One row, in Python."""
    shape, columns = model.shape, model.definition.data.columns
    if columns is None or not has_categories(columns):
        kind = "int64" if shape.kind == "tokens" else "float32"
        return f'{{"input": np.zeros((1, {", ".join(map(str, shape.input_shape))}), np.{kind})}}'
    lead = f"1, {shape.input_shape[0]}, 1" if shape.kind == "sequence" else "1, 1"
    return "{" + ", ".join(f"{input_name(one.name)!r}: {_value(one, lead)}" for one in columns.inputs) + "}"


def _value(column: Column, lead: str) -> str:
    if column.kind == "category":
        word = column.categories[0] if column.categories else MISSING
        return f"np.full(({lead}), {word!r}, object)"
    return f"np.zeros(({lead}), np.float32)"


def _number(value: Any) -> str:
    return "not finite" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
