"""Runs of the zoo are kept, and repairs play by the rules."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.diagnosis.case import Case, Cell
from benchmarks.diagnosis.labels import Judged, Label
from benchmarks.diagnosis.remedies import own
from benchmarks.diagnosis.repairs import begun
from benchmarks.diagnosis.runs import Runs
from models.diagnosis.finding import Code, Diagnosis, Finding, Remedy, Severity

TINY = {
    "network": {"family": "dnn", "hidden": [8]},
    "data": {"dataset": "xor", "parameters": {"rows": 60}},
    "training": {"epochs": 2},
}
RATE = [{"op": "replace", "path": "/training/optimizer/learning_rate", "value": 0.01}]
LONGER = [{"op": "replace", "path": "/training/epochs", "value": 4}]


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path, processes=1)


def test_a_run_is_made_once_and_kept_with_its_evidence(runs: Runs) -> None:
    first = runs.get(TINY, evidence=True)
    assert runs.has(TINY, evidence=True)
    assert list(runs.all([(TINY, True)])) == []
    again = runs.get(TINY, evidence=True)
    assert again.outcome == first.outcome
    evidence = again.evidence(TINY)
    assert len(evidence.epochs["validation_skill"]) == 2
    assert len(evidence.samples["tensors"]) > 0


def a_finding(code: Code, severity: Severity, patch: list[dict[str, Any]]) -> Finding:
    return Finding(code, severity, "", (), remedies=(Remedy(code.value, tuple(patch), ""),))


def test_the_remedy_of_the_first_fault_goes_before_that_of_a_warning() -> None:
    warning = a_finding(Code.OVERFIT, Severity.WARNING, LONGER)
    fault = a_finding(Code.LEARNING_RATE_TOO_LOW, Severity.FAULT, RATE)
    choice = own("id", 0, TINY, Diagnosis((warning, fault), 0.0, True))
    assert choice is not None
    assert choice.name == "learning_rate_too_low"


@pytest.mark.parametrize(("code", "goes_on"), [(Code.SLOW, True), (Code.PLATEAU, False)])
def test_more_epochs_are_for_what_was_slow_alone(runs: Runs, code: Code, goes_on: bool) -> None:
    case = Case("xor", Cell("xor", "mlp", "shallow"), TINY, ("rate_low",))
    repair = begun(Judged(case, Label.SICK, (0.0,), (1.0,), 0.1), 0, runs)
    repair = replace(repair, diagnosis=Diagnosis((a_finding(code, Severity.FAULT, LONGER),), 0.0, True))
    repair.choose(own)
    assert (repair.next is not None) is goes_on
    assert repair.is_stuck is not goes_on
