"""`python -m benchmarks.diagnosis explain ID`: the key evidence of one job, for whoever writes the rules."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.diagnosis.case import Case
from benchmarks.diagnosis.remedies import admitted, own
from benchmarks.diagnosis.runs import Runs, read
from models.diagnosis.diagnose import diagnose
from models.diagnosis.evidence import Evidence

MOST_COLUMNS = 12
"""Layers and tensors beyond it are left out in the middle."""


def explained(case: Case, runs: Runs, seed: int = 0) -> Iterator[str]:
    """Line by line; trains it where its evidence is not kept yet."""
    record = runs.get(case.seeded(seed), evidence=True)
    evidence, outcome = record.evidence(case.seeded(seed)), record.outcome
    yield f"{case.id} ({case.half}), expected {sorted(case.expected) or 'nothing'}, seed {seed}"
    yield f"changed: {', '.join(case.pointers) or 'nothing'}; layer {case.layer}"
    yield f"{case.definition}"
    yield f"steps {outcome.steps}, {outcome.seconds:.2f} s, statistics {outcome.cost:.1%}, error {outcome.error}"
    yield f"incident {evidence.incident}"
    yield f"facts {evidence.facts}"
    for name in ("train_loss", "validation_loss", "train_accuracy", "skill", "validation_skill"):
        yield f"{name:18}{_row(_thinned(evidence.epochs[name]))}"
    for series in evidence.samples:
        yield from _series(evidence, series)
    yield from _diagnosis(evidence)


def after_remedies(case: Case, runs: Runs, seed: int, count: int) -> Case:
    """The case as it is when its diagnosis' first remedy was applied so many times, one upon the other."""
    for tried in range(count):
        definition = case.seeded(seed)
        diagnosis = diagnose(runs.get(definition, evidence=True).evidence(definition))
        choice = own(case.id, tried, definition, diagnosis)
        changed = admitted(read(definition).plain(), choice.patch) if choice else None
        if changed is None:
            break
        case = replace(case, definition=changed)
    return case


def _series(evidence: Evidence, series: str) -> Iterator[str]:
    from models.series import SERIES

    samples = evidence.samples[series]
    if not len(samples):
        yield f"[{series}] nothing recorded"
        return
    columns = samples.values.shape[2]
    yield f"[{series}] {len(samples)} samples, {columns} columns: {_names(evidence, series, columns)}"
    for statistic in SERIES[series][: samples.values.shape[1]]:
        values = samples.of(statistic)
        if np.isnan(values).all():
            continue
        yield f"  {statistic:18}first  {_row(_shown(values[0]))}"
        yield f"  {'':18}median {_row(_shown(_median(values)))}"
        yield f"  {'':18}last   {_row(_shown(values[-1]))}"


def _diagnosis(evidence: Evidence) -> Iterator[str]:
    diagnosis = diagnose(evidence)
    yield f"verdict {diagnosis.verdict.value}, margins {diagnosis.margins}"
    for finding in diagnosis.findings:
        yield f"  {finding.severity.value} {finding.code.value} layers {finding.layers}: {finding.explanation}"
        yield from (f"    {measured}" for measured in finding.evidence)
        yield from (f"    remedy {remedy.id}: {list(remedy.patch)}" for remedy in finding.remedies)


def _names(evidence: Evidence, series: str, columns: int) -> str:
    if series != "tensors":
        return ""
    names = [tensor.name for tensor in evidence.architecture.tensors]
    return " ".join(names if len(names) <= MOST_COLUMNS else [*names[:4], "...", *names[-4:]])


def _median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(all="ignore"):
        kept = np.where(np.isnan(values).all(0), 0.0, values)
        medians: NDArray[np.float64] = np.nanmedian(kept, axis=0)
    return medians


def _thinned(values: NDArray[np.float64], most: int = 14) -> list[Any]:
    if len(values) <= most:
        return list(values)
    return [values[index] for index in np.linspace(0, len(values) - 1, most).astype(int)]


def _shown(values: NDArray[np.float64]) -> list[Any]:
    if len(values) <= MOST_COLUMNS:
        return list(values)
    return [*values[:6], "...", *values[-5:]]


def _row(values: list[Any]) -> str:
    return " ".join(value if isinstance(value, str) else f"{value:9.3g}" for value in values)
