"""The files of a trained model say the same as the model."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from models.artifacts import CARD, DEFINITION, ONNX, WEIGHTS
from models.catalogue import shape_of_data
from models.columns import Column, Columns
from models.definitions.job import JobDefinition
from models.errors import InvalidDefinition
from models.predictor import load as load_predictor
from tests.factories import a_definition
from tests.models import mixed
from tests.workers.exported import FACTS, trained
from workers.datasets.arrays import load
from workers.export import onnx_file
from workers.export.card import card
from workers.training.data import prepare
from workers.training.model import Model, read_model
from workers.training.networks import build
from workers.training.scale import Scale, TargetScale

RECURRENT = {"family": "rnn", "hidden": 5}
NETWORKS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "perceptron": ({"family": "dnn", "hidden": []}, {"dataset": "xor"}),
    "maxout": ({"family": "dnn", "hidden": [6, 6], "activation": "maxout", "residual": True}, {"dataset": "iris"}),
    "batch norm": ({"family": "dnn", "hidden": [6], "norm": "batch"}, {"dataset": "diabetes", "normalise": "minmax"}),
    "layer norm": ({"family": "dnn", "hidden": [6], "norm": "layer", "activation": "gelu"}, {"dataset": "digits"}),
    "image": (
        {"family": "cnn", "blocks": [{"filters": 4, "stride": 2}, {"filters": 4, "residual": True, "pool": "max"}]},
        {"dataset": "digits"},
    ),
    "image of channels": (
        {"family": "cnn", "blocks": [{"filters": 4, "norm": "layer", "pool": "average"}], "pooling": "average"},
        {"dataset": "patterns"},
    ),
    "signal": (
        {"family": "cnn", "blocks": [{"filters": 4, "norm": "batch"}], "pooling": "max"},
        {"dataset": "signals"},
    ),
    "lstm": (RECURRENT | {"cell": "lstm", "layers": 2, "bidirectional": True}, {"dataset": "digits_rows"}),
    "gru at each step": (
        RECURRENT | {"cell": "gru", "bidirectional": True, "readout": "each"},
        {"dataset": "lookahead"},
    ),
    "mean of a plain rnn": (RECURRENT | {"cell": "rnn", "readout": "mean", "head": [4]}, {"dataset": "sine"}),
    "tokens": (RECURRENT | {"cell": "gru", "embedding": {"size": 3}}, {"dataset": "copy_memory"}),
    "sequential": (
        {
            "family": "sequential",
            "layers": [
                {"kind": "convolution", "filters": 4},
                {"kind": "frames"},
                {"kind": "recurrent", "cell": "lstm", "hidden": 5, "bidirectional": True},
                {"kind": "readout", "mode": "last"},
                {"kind": "dense", "width": 4},
            ],
        },
        {"dataset": "spectrograms"},
    ),
}
FREE_LENGTH = ("signal", "lstm", "gru at each step", "tokens")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_onnx_file_gives_what_the_trained_network_gives_on_the_data_as_they_are(
    name: str, tmp_path: Path, folder: Path
) -> None:
    network, data = NETWORKS[name]
    job = trained(tmp_path, folder, network=network, data=data)
    files = job.export()
    assert [made.reason for made in files.values()] == [None] * 4
    model = read_model(job.path_of_checkpoint())
    raw = load(data["dataset"], {}, folder).x[:40]
    session = onnxruntime.InferenceSession(job.path(files[ONNX]).read_bytes())
    [found] = session.run(None, {"input": np.asarray(raw)})
    prepared = prepare(model.definition.data, load(data["dataset"], {}, folder), model.shape, torch.device("cpu"))
    rows = prepared.training.rows[:40] if prepared.training.rows is not None else np.arange(40)
    network_outputs = _network_outputs(model, prepared, len(rows))
    [of_rows] = session.run(None, {"input": np.asarray(load(data["dataset"], {}, folder).x)[rows]})
    assert np.abs(of_rows - network_outputs).max() <= 1e-5 * max(1, np.abs(network_outputs).max())
    assert len(found) == 40


def _network_outputs(model: Any, prepared: Any, rows: int) -> np.ndarray:
    """By the network on inputs that training has scaled, and formulas written out here."""
    x, _ = next(prepared.training.in_order(rows))
    with torch.inference_mode():
        outputs = model.network()(x).double().numpy()
    if model.shape.task == "regression":
        return outputs * model.targets.factor.numpy() + model.targets.offset.numpy()
    powers = np.exp(outputs - outputs.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize("name", FREE_LENGTH)
def test_a_sequence_may_be_of_any_length(name: str, tmp_path: Path, folder: Path) -> None:
    network, data = NETWORKS[name]
    job = trained(tmp_path, folder, network=network, data=data)
    model = read_model(job.path_of_checkpoint())
    axis = onnx_file.time_axis(model)
    assert axis is not None
    sizes = [3, *model.shape.input_shape]
    sizes[axis] = 17
    x = torch.randint(5, sizes) if model.shape.kind == "tokens" else torch.randn(sizes)
    [found] = onnxruntime.InferenceSession(job.path(job.export()[ONNX]).read_bytes()).run(None, {"input": x.numpy()})
    with torch.inference_mode():
        assert np.abs(found - model.deployed()(x).numpy()).max() <= 1e-5


def test_one_logit_of_two_classes_is_two_probabilities(tmp_path: Path) -> None:
    training = {"epochs": 1, "loss": "binary_cross_entropy"}
    job = trained(tmp_path, training=training)
    session = onnxruntime.InferenceSession(job.path(job.export()[ONNX]).read_bytes())
    [found] = session.run(None, {"input": np.array([[0, 1], [1, 1]], np.float32)})
    assert found.shape == (2, 2)
    assert np.allclose(found.sum(1), 1)
    assert session.get_modelmeta().custom_metadata_map["classes"] == '["0", "1"]'


def test_equal_weights_are_an_equal_file_and_load_into_plain_torch(tmp_path: Path) -> None:
    one, other = (trained(tmp_path / name) for name in self_made(tmp_path, "a", "b"))
    files = one.export(), other.export()
    contents = [job.path(made[WEIGHTS]).read_bytes() for job, made in zip((one, other), files, strict=True)]
    assert contents[0] == contents[1]
    weights = load_file(one.path(files[0][WEIGHTS]))
    x = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    scaled = ((x - weights["scales.input.offset"]) / weights["scales.input.factor"]).float()
    hidden = torch.relu(scaled @ weights["hidden_0.linear.weight"].T + weights["hidden_0.linear.bias"])
    logits = hidden @ weights["output.linear.weight"].T + weights["output.linear.bias"]
    [found] = onnxruntime.InferenceSession(one.path(files[0][ONNX]).read_bytes()).run(None, {"input": x.numpy()})
    assert np.abs(found - logits.softmax(1).numpy()).max() <= 1e-6


def self_made(folder: Path, *names: str) -> tuple[str, ...]:
    for name in names:
        (folder / name).mkdir()
    return names


def test_the_definition_trains_it_again(tmp_path: Path) -> None:
    job = trained(tmp_path)
    definition = JobDefinition.model_validate_json(job.path(job.export()[DEFINITION]).read_bytes())
    assert definition.network.family == "dnn"


def test_the_card_names_data_metrics_verdict_and_how_to_load_both_files(tmp_path: Path) -> None:
    job = trained(tmp_path)
    card = job.path(job.export()[CARD]).read_text()
    for part in ("`xor`", "Verdict: **healthy**", "onnxruntime.InferenceSession", "load_file", "classes: `0`, `1`"):
        assert part in card
    assert "![Losses by epoch](../plots/loss.svg)" in card


def test_a_file_that_computes_something_else_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = trained(tmp_path)
    exported = onnx_file.exported

    def wrong(model: Any, signature: Any) -> bytes:
        model.weights["output.linear.bias"][0] += 0.01
        file = exported(model, signature)
        model.weights["output.linear.bias"][0] -= 0.01
        return file

    monkeypatch.setattr(onnx_file, "exported", wrong)
    files = job.export()
    assert files[ONNX].stored is None
    assert "differs from torch" in (files[ONNX].reason or "")
    assert files[WEIGHTS].stored is not None


MIXED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "table": ({"family": "dnn", "hidden": [5]}, {}),
    "table of numbers": ({"family": "dnn", "hidden": [5]}, {"columns": mixed.NUMBERS}),
    "values": ({"family": "dnn", "hidden": [5]}, {"task": "regression"}),
    "vectors of categories": ({"family": "dnn", "hidden": [5], "embedding": {"size": 2}}, {}),
    "series": (RECURRENT | {"bidirectional": True}, {"length": 4}),
    "series with vectors of categories": (RECURRENT | {"embedding": {"size": 2}}, {"length": 4}),
    "series as one vector": ({"family": "dnn", "hidden": [5]}, {"length": 4}),
}


@pytest.mark.parametrize("name", MIXED)
def test_a_table_with_categories_has_an_input_for_each_column(name: str, tmp_path: Path) -> None:
    network, known = MIXED[name]
    model = a_model(a_definition(network=network, data=mixed.data(**known)))
    (tmp_path / "model.onnx").write_bytes(onnx_file.onnx_file(model))
    predictor = load_predictor(tmp_path / "model.onnx", model.definition.plain())
    columns = model.definition.data.columns
    assert columns is not None
    names = {one.name for one in predictor.session.get_inputs()}
    assert names == ({"input"} if columns.features == mixed.NUMBERS.features else {*columns.features})
    rows = [mixed.ROW, mixed.EMPTY, mixed.ROW | {"colour": "blue", "rooms": 1}, mixed.EMPTY]
    x = torch.from_numpy(columns.encode(rows))
    given: Any = [rows] if "length" in known else rows
    with torch.inference_mode():
        expected = model.deployed()(x[None] if "length" in known else x).numpy()
    found = predictor.predict(given)
    numbers = [list(one["probabilities"].values()) if "class" in one else [one["value"]] for one in found]
    assert np.abs(np.array(numbers) - expected).max() <= 1e-5


def test_a_column_without_a_value_costs_no_file(tmp_path: Path) -> None:
    empty = Column(name="colour", kind="category", missing=50, distinct=0, place=2, stored="code")
    others = tuple(empty if column.name == empty.name else column for column in mixed.COLUMNS.columns)
    columns = Columns(columns=others, features=mixed.COLUMNS.features, target="bought")
    for length in (0, 4):
        network = RECURRENT if length else {"family": "dnn", "hidden": [5]}
        model = a_model(a_definition(network=network, data=mixed.data(columns=columns, length=length)))
        (tmp_path / "model.onnx").write_bytes(onnx_file.onnx_file(model))
        predictor = load_predictor(tmp_path / "model.onnx", model.definition.plain())
        row = mixed.ROW | {"colour": None}
        assert predictor.predict([[row] * 4] if length else [row])
        text = card(model, FACTS)
        assert "'colour': np.full((1, " in text
        assert ("(../plots/time.svg)" in text) == bool(length)
    with pytest.raises(InvalidDefinition, match="no category 'red'") as refused:
        predictor.predict([[row | {"colour": "red"}]])
    assert refused.value.problems[0].hint.startswith("Write null")


def a_model(definition: JobDefinition) -> Model:
    """With weights as they were drawn, and scales of a standard normalisation."""
    shape = shape_of_data(definition.data)
    torch.manual_seed(0)
    weights = build(definition.network, shape).state_dict()
    lead = [1] * len(shape.input_shape)
    width = shape.input_shape[-1]
    inputs = Scale(np.linspace(0, 2, width).reshape(*lead, width), np.linspace(1, 3, width).reshape(*lead, width))
    targets = TargetScale(torch.tensor([2.0], dtype=torch.float64), torch.tensor([5.0], dtype=torch.float64))
    return Model(definition, shape, inputs, targets, weights)
