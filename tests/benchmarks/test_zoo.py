"""The zoo itself: what it generates, how it labels, and that peers' rules are read as they were written."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.diagnosis.case import Case, Cell, value_at
from benchmarks.diagnosis.chance import mann_whitney, wilson
from benchmarks.diagnosis.generator import changed, zoo
from benchmarks.diagnosis.labels import Label, label_of
from benchmarks.diagnosis.outcome import LOST, Outcome
from benchmarks.diagnosis.peers import PEERS
from benchmarks.diagnosis.remedies import REPAIRERS, admitted
from benchmarks.diagnosis.runs import ROOM, key_of, read
from benchmarks.diagnosis.said import said_by_us, undoes
from models.admission import admit
from models.architecture import architecture_of
from models.diagnosis.evidence import Evidence, Gathering
from models.diagnosis.finding import Code, Diagnosis, Finding, Remedy, Severity
from models.reports import EpochEnded, Sampled
from models.series import SERIES, Chunk

CASES = zoo()
BY_ID = {case.id: case for case in CASES}


def test_the_same_zoo_comes_out_each_time() -> None:
    assert zoo() == CASES
    assert len(BY_ID) == len(CASES)


def test_every_job_of_the_zoo_is_admitted() -> None:
    for case in CASES:
        admit(json.dumps(case.definition).encode(), ROOM)


def test_the_halves_share_no_cell_and_both_are_large() -> None:
    halves = {half: {case.cell for case in CASES if case.half == half} for half in ("development", "scored")}
    assert not halves["development"] & halves["scored"]
    assert min(map(len, halves.values())) >= 50


def test_an_injected_job_differs_from_its_control_by_the_injection_alone() -> None:
    for case in CASES:
        if case.control is None:
            continue
        control = BY_ID[case.control]
        assert case.definition != control.definition
        changes = {pointer: value_at(case.definition, pointer) for pointer in case.pointers}
        assert changed(control.definition, changes) == case.definition


def test_two_faults_at_once_are_in_the_scored_half_alone() -> None:
    assert {case.half for case in CASES if len(case.injections) == 2} == {"scored"}


def test_the_layer_of_a_fault_is_that_of_the_architecture() -> None:
    case = next(case for case in CASES if case.layer is not None and "digits" in case.id)
    layers = architecture_of(read(case.definition)).layers
    assert layers[case.layer or 0].kind == "dense"
    assert "init" in value_at(case.definition, f"/network/layers/{case.layer}")


def test_a_seed_changes_the_training_and_not_the_data() -> None:
    case = CASES[0]
    assert case.seeded(3)["data"] == case.definition["data"]
    assert key_of(case.seeded(3)) != key_of(case.seeded(4))


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        ([1, 2, 3, 4, 5], [6, 7, 8, 9, 10], 2 / 252),
        ([1, 2, 3, 4, 6], [5, 7, 8, 9, 10], 4 / 252),
        ([1, 2, 3], [4, 5, 6], 0.1),
        ([1, 1, 1], [1, 1, 1], 1.0),
    ],
)
def test_mann_whitney_is_exact(first: list[float], second: list[float], p: float) -> None:
    assert mann_whitney(first, second) == pytest.approx(p)


def test_wilson_never_leaves_0_to_1() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 100) == pytest.approx((0.0, 0.0370), abs=1e-4)
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)


GOOD, BAD = [0.9, 0.91, 0.92, 0.93, 0.94], [0.1, 0.2, 0.3, 0.4, 0.5]


@pytest.mark.parametrize(
    ("injections", "final", "best", "control", "label"),
    [
        (("rate_high",), BAD, BAD, GOOD, Label.SICK),
        (("rate_high",), GOOD, GOOD, GOOD, Label.BENIGN),
        ((), GOOD, GOOD, GOOD, Label.HEALTHY),
        ((), BAD, BAD, BAD, Label.DROPPED),
        (("overfitting",), BAD, GOOD, GOOD, Label.SICK),
    ],
)
def test_a_job_is_sick_by_its_outcome(
    injections: tuple[str, ...], final: list[float], best: list[float], control: list[float], label: Label
) -> None:
    case = replace(CASES[0], injections=injections)
    assert label_of(case, final, best, control) is label


def test_a_job_that_ended_by_an_error_has_no_skill_left() -> None:
    assert Outcome({"validation_skill": [0.3, 0.8]}, 1.0, 20, "NonFinite").final == 0.0
    assert Outcome({"validation_skill": [0.3, float("nan")]}, 1.0, 20).final == LOST
    assert Outcome({}, 1.0, 20, "NonFinite").final == LOST


def test_baselines_of_repair_give_definitions_that_are_admitted() -> None:
    nothing = Diagnosis((), None, True)
    for case in CASES[:: len(CASES) // 40]:
        definition = read(case.definition).plain()
        for name in ("always rate / 10", "a random remedy"):
            choice = REPAIRERS[name](case.id, 0, definition, nothing)
            assert choice is not None
            assert admitted(definition, choice.patch) is not None


DEFINITION = {
    "network": {"family": "dnn", "hidden": [8, 8]},
    "data": {"dataset": "xor"},
    "training": {"epochs": 4, "optimizer": {"kind": "sgd", "learning_rate": 0.01}},
}


def a_record(accuracy: float, norms: dict[int, float], learning_rate: float = 0.01, **statistics: float) -> Evidence:
    """Evidence of 20 samples, all alike: an ordinary network but for what is given. `norms` by tensor."""
    definition: Any = json.loads(json.dumps(DEFINITION))
    definition["training"]["optimizer"]["learning_rate"] = learning_rate
    gathering = Gathering(read(definition), 20)
    tensors = len(architecture_of(gathering.definition).tensors)
    usual = dict.fromkeys(SERIES["tensors"], 0.0) | {"norm": 0.1, "update_ratio": 1e-3, "weight_norm": 1.0} | statistics
    values = np.array([[usual[name]] * tensors for name in SERIES["tensors"]], np.float32)
    for column, norm in norms.items():
        values[0, column] = norm
    chunk = Chunk(np.arange(20), np.repeat(values[None], 20, axis=0))
    gathering.see(Sampled(0, 19, 20, chunk.encode()))
    for epoch in range(1, 5):
        metrics = {f"{part}_accuracy": accuracy * (0.9 + 0.02 * epoch) for part in ("train", "validation")}
        losses = {"train_loss": 1 / epoch, "validation_loss": 1 / epoch}
        gathering.see(EpochEnded(epoch, 5 * epoch, metrics | losses, True, 0.1))
    return gathering.evidence(complete=True)


@pytest.mark.parametrize(
    ("peer", "record", "symptom"),
    [
        ("AutoTrainer", a_record(0.5, {0: 1e-6, 4: 1.0}), "vanish"),
        ("AutoTrainer", a_record(0.95, {0: 1e-6, 4: 1.0}), None),
        ("AutoTrainer", a_record(0.5, {0: 1.0, 4: 1e-3}), "explode"),
        ("AutoTrainer", a_record(0.5, {}, zeros=0.8), "dying relu"),
        ("SageMaker Debugger", a_record(0.9, {2: 1e-9}), "VanishingGradient"),
        ("SageMaker Debugger", a_record(0.9, {}, update_ratio=20.0), "WeightUpdateRatio, large"),
        ("UMLAUT", a_record(0.9, {}, learning_rate=0.5), "LRHigh"),
        ("torchmortem", a_record(0.9, {0: 1e-4, 4: 1.0}), "gradient_flow: vanishing"),
        ("torchmortem", a_record(0.9, {}, update_ratio=0.5), "update_ratio: high"),
    ],
)
def test_a_peer_says_what_its_rules_say(peer: str, record: Evidence, symptom: str | None) -> None:
    symptoms = {alarm.symptom for alarm in PEERS[peer](record)}
    assert (symptom in symptoms) if symptom else not symptoms


def test_the_half_is_decided_by_the_cell() -> None:
    cell = Cell("xor", "mlp", "deep")
    assert Case("a", cell, {}).half == Case("b", cell, {"x": 1}).half == cell.half


@pytest.mark.parametrize(
    ("injection", "patch", "expected"),
    [
        ("rate_high", [{"op": "replace", "path": "/training/optimizer/learning_rate", "value": 0.01}], True),
        ("rate_high", [{"op": "replace", "path": "/training/optimizer/learning_rate", "value": 1000.0}], False),
        ("rate_high", [{"op": "replace", "path": "/training/clip", "value": {"norm": 1.0}}], False),
        ("constant_init", [{"op": "replace", "path": "/network/init", "value": "he"}], True),
    ],
)
def test_a_cause_is_right_too_if_its_remedy_takes_the_injection_back(
    injection: str, patch: list[dict[str, Any]], expected: bool
) -> None:
    case = next(case for case in CASES if case.injections == (injection,))
    finding = Finding(Code.PLATEAU, Severity.FAULT, "", (), remedies=(Remedy("r", tuple(patch), ""),))
    assert undoes(case, finding) is expected
    assert said_by_us(case, Diagnosis((finding,), 0.0, True)).right(case) is expected
