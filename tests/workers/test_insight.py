"""A job is diagnosed while it trains, from its own reports; policies act upon that; a resumed job says the same."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.definitions.job import JobDefinition
from models.diagnosis.diagnose import diagnose
from models.diagnosis.evidence import Evidence, Gathering
from models.diagnosis.finding import Code, Diagnosis, Finding, Severity
from models.reports import Diagnosed, Ended, EpochEnded, Facts, Incident, Report, Sampled
from tests.workers.test_checkpoints import at, one_thread
from workers.training import insight as module
from workers.training.checkpoints import Checkpoints
from workers.training.insight import Insight, Judge
from workers.training.job import train_job

__all__ = ["one_thread"]

CPU = torch.device("cpu")
IRIS = {"network": {"family": "dnn", "hidden": [8]}, "data": {"dataset": "iris"}}


def a_job(policies: dict[str, str] | None = None, **training: Any) -> JobDefinition:
    """Three steps an epoch."""
    plain = {"training": {"batch_size": 40, "epochs": 4} | training, "policies": policies or {}}
    return JobDefinition.model_validate(IRIS | plain)


def a_finding(code: Code, severity: Severity = Severity.FAULT, first_step: int | None = None) -> Finding:
    return Finding(code, severity, "It goes wrong.", (), first_step=first_step)


@dataclass
class Rules:
    """In place of the rules: remembers what it was shown, and finds something when that comes to be true."""

    finds: Callable[[Evidence], Finding | None] = lambda evidence: None
    shown: list[Evidence] = field(default_factory=list)

    def __call__(self, evidence: Evidence) -> Diagnosis:
        self.shown.append(evidence)
        found = self.finds(evidence)
        skills = evidence.epochs["skill"]
        return Diagnosis((found,) if found else (), float(skills[-1]) if len(skills) else None, evidence.complete)


def trained(job: JobDefinition, folder: Path, judge: Judge, asked: Any = lambda: None, **given: Any) -> list[Report]:
    reports: list[Report] = []
    train_job(job, folder, CPU, reports.append, asked, judge=judge, **given)
    return reports


def of(kind: type[Any], reports: list[Report]) -> list[Any]:
    return [report for report in reports if isinstance(report, kind)]


def numbers(evidence: Evidence) -> Any:
    """All that a diagnosis can be made of."""
    samples = {name: (one.steps.tolist(), one.values.tobytes()) for name, one in evidence.samples.items()}
    epochs = {name: repr(values.tolist()) for name, values in evidence.epochs.items()}
    return evidence.facts, samples, epochs, evidence.incident, evidence.complete, evidence.planned_steps


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(module, "MOST_SHARE", 1e9)


@pytest.mark.usefixtures("looks_often")
def test_it_looks_after_the_third_sample_at_ends_of_epochs_and_at_the_end(folder: Path) -> None:
    rules = Rules()
    reports = trained(a_job(), folder, rules)
    steps = [evidence.samples["tensors"].steps.tolist() for evidence in rules.shown]
    assert steps[:3] == [[0, 1, 2], [0, 1, 2], [*range(6)]]
    # At the end twice: once more when it is known what cheap models make of the same data.
    assert [len(evidence.epochs["step"]) for evidence in rules.shown] == [0, 1, 2, 3, 4, 4, 4]
    assert [evidence.complete for evidence in rules.shown] == [False] * 5 + [True] * 2
    assert ["reference" in evidence.facts for evidence in rules.shown] == [False] * 6 + [True]
    assert {evidence.planned_steps for evidence in rules.shown} == {12}
    assert [report.diagnosis.complete for report in of(Diagnosed, reports)] == [False] * 5 + [True]
    assert [type(report) for report in reports[-2:]] == [Diagnosed, Ended]


def test_between_epochs_it_looks_no_more_than_once_a_second(folder: Path) -> None:
    rules = Rules()
    trained(a_job(epochs=50), folder, rules)
    assert len(rules.shown) <= 4


def test_the_same_reports_give_the_same_evidence(folder: Path) -> None:
    rules, job = Rules(), a_job(epochs=50)
    reports = trained(job, folder, rules)
    [end] = of(Ended, reports)
    gathering = Gathering(job, 150)
    for report in reports:
        gathering.see(report)
    assert numbers(rules.shown[-1]) == numbers(gathering.evidence(complete=True))
    assert end.runs[0]["first_step"] == 0


def test_what_is_found_is_told_when_it_changes(folder: Path) -> None:
    """A policy has it look after every epoch; that all is as it was is told once a second."""

    def finds(evidence: Evidence) -> Finding | None:
        return a_finding(Code.PLATEAU) if len(evidence.epochs["step"]) in (2, 3) else None

    job = a_job({"stalled": "stop"}, epochs=5)
    told = [report.diagnosis for report in of(Diagnosed, trained(job, folder, Rules(finds)))]
    assert [[found.code for found in one.findings] for one in told] == [[], ["plateau"], [], []]


def learns_nothing(evidence: Evidence) -> Finding | None:
    return a_finding(Code.DEAD_AT_INIT, first_step=0)


def is_late(evidence: Evidence) -> Finding | None:
    return a_finding(Code.OVERFIT, first_step=7) if len(evidence.epochs["step"]) >= 3 else None


@pytest.mark.parametrize(
    ("finds", "code", "step", "epochs"), [(learns_nothing, "dead_at_init", 3, 1), (is_late, "overfit", 9, 3)]
)
def test_a_policy_stops_the_job(finds: Any, code: str, step: int, epochs: int, folder: Path) -> None:
    job = a_job({code: "stop"}).model_dump(mode="json")
    job["data"] |= {"validation": None, "rows": 120}
    reports = trained(JobDefinition.model_validate(job), folder, Rules(finds))
    ended, [end] = of(EpochEnded, reports), of(Ended, reports)
    assert end.outcome == "failed"
    assert (end.error["code"], end.error["class"], end.error["detail"]) == (code, "numeric", "It goes wrong.")
    assert (len(ended), ended[-1].step, ended[-1].best) == (epochs, step, epochs > 1)
    assert [type(report) for report in reports[-2:]] == [Diagnosed, Ended]
    assert reports[-2].diagnosis.complete  # type: ignore[union-attr]
    assert [report.series for report in of(Sampled, reports)].count("flight") == 1


@pytest.mark.parametrize(("policy", "outcome"), [("stop", "failed"), ("rollback_and_lower_rate", "succeeded")])
def test_what_is_only_found_at_the_end_fails_the_job_where_its_policy_is_stop(
    policy: str, outcome: str, folder: Path
) -> None:
    rules = Rules(lambda evidence: a_finding(Code.PLATEAU) if evidence.complete else None)
    reports = trained(a_job({"plateau": policy}), folder, rules)
    [end] = of(Ended, reports)
    assert (end.outcome, end.error and end.error["code"]) == (outcome, "plateau" if policy == "stop" else None)
    assert of(EpochEnded, reports)[-1].epoch == 4


@pytest.mark.parametrize("policies", [{}, {"dead_at_init": "continue"}, {"plateau": "stop"}])
def test_without_a_policy_for_it_a_job_goes_on(policies: dict[str, str], folder: Path) -> None:
    assert of(Ended, trained(a_job(policies), folder, Rules(learns_nothing)))[0].outcome == "succeeded"


def test_a_warning_stops_nothing(folder: Path) -> None:
    warns = Rules(lambda evidence: a_finding(Code.DEAD_AT_INIT, Severity.WARNING))
    assert of(Ended, trained(a_job({"dead_at_init": "stop"}), folder, warns))[0].outcome == "succeeded"


def test_a_job_goes_back_to_before_a_finding_and_on_at_a_tenth_of_the_rate(folder: Path) -> None:
    """Found at the end of the third epoch, from step 7 on: back to the end of the second."""
    found = iter([True])

    def finds(evidence: Evidence) -> Finding | None:
        epochs = len(evidence.epochs["step"])
        return a_finding(Code.OVERFIT, first_step=7) if epochs == 3 and next(found, False) else None

    rules = Rules(finds)
    job = a_job({"overfit": "rollback_and_lower_rate"}, epochs=6)
    reports = trained(job, folder, rules)
    rates = [epoch.metrics["learning_rate"] for epoch in of(EpochEnded, reports)]
    assert rates == pytest.approx([0.001] * 3 + [0.0001] * 3)
    assert [epoch.step for epoch in of(EpochEnded, reports)] == [3, 6, 9, 12, 15, 18]
    losses = [epoch.metrics["validation_loss"] for epoch in of(EpochEnded, reports)]
    assert losses[1] > losses[3] > losses[2], "a step of a tenth from the second epoch, not from the third"
    # What was seen before says nothing of the weights that are now.
    assert rules.shown[-1].samples["tensors"].steps.tolist() == list(range(9, 18))


def test_a_finding_from_the_start_takes_a_job_back_to_the_start(folder: Path) -> None:
    def trained_until(finds: Any) -> float:
        job = a_job({"overfit": "rollback_and_lower_rate"}, epochs=4)
        return float(of(EpochEnded, trained(job, folder, Rules(finds)))[-1].metrics["validation_loss"])

    late = iter([True]), iter([True])
    start, second = (
        trained_until(lambda evidence, once=once, step=step: a_finding(Code.OVERFIT, first_step=step)
                      if len(evidence.epochs["step"]) == 3 and next(once, False) else None)
        for once, step in zip(late, (2, 7), strict=True)
    )  # fmt: skip
    assert start > second


@pytest.mark.parametrize("before", [{"restarts": 2}, {"pretraining": {"kind": "autoencoder", "epochs": 1}}])
def test_a_run_that_is_not_the_first_of_its_job_goes_back_to_its_own_start(before: Any, folder: Path) -> None:
    """Rules name step 0 for what stood before training."""
    once = iter([True])
    rules = Rules(
        lambda evidence: (
            a_finding(Code.UNNORMALISED_INPUT, first_step=0)
            if len(evidence.epochs["step"]) == 2 and evidence.epochs["step"][0] > 3 and next(once, False)
            else None
        )
    )
    reports = trained(a_job({"unnormalised_input": "rollback_and_lower_rate"}, **before), folder, rules)
    rates = [epoch.metrics["learning_rate"] for epoch in of(EpochEnded, reports)[-4:]]
    assert rates == pytest.approx([0.001] * 2 + [0.0001] * 2)
    assert of(Ended, reports)[0].outcome == "succeeded"


def test_it_does_not_go_back_when_no_step_is_left(folder: Path) -> None:
    """What is found in the last epoch stands, and so does all that was seen."""
    rules = Rules(lambda evidence: a_finding(Code.PLATEAU, first_step=7) if len(evidence.epochs["step"]) == 4 else None)
    reports = trained(a_job({"plateau": "rollback_and_lower_rate"}), folder, rules)
    assert of(Ended, reports)[0].outcome == "succeeded"
    assert [found.code for found in of(Diagnosed, reports)[-1].diagnosis.findings] == ["plateau"]
    assert not rules.shown[-1].is_midway


def test_what_is_seen_after_a_way_back_is_not_taken_for_the_init(folder: Path) -> None:
    once = iter([True])
    rules = Rules(
        lambda evidence: (
            a_finding(Code.OVERFIT, first_step=7) if len(evidence.epochs["step"]) == 3 and next(once, False) else None
        )
    )
    trained(a_job({"overfit": "rollback_and_lower_rate"}, epochs=6), folder, rules)
    # It looks after the third step, and at ends of epochs, for there is a policy; so also after it went back.
    assert [evidence.is_midway for evidence in rules.shown[:4]] == [False] * 4
    assert all(evidence.is_midway for evidence in rules.shown[4:])


@pytest.mark.usefixtures("looks_often")
def test_a_running_job_is_told_of_again_at_every_look(folder: Path) -> None:
    """Of the same findings, but with the numbers that are."""
    told = of(Diagnosed, trained(a_job(), folder, Rules()))
    skills = [report.diagnosis.skill for report in told]
    assert skills[0] is None
    assert len(set(skills[1:5])) == 4


def test_it_goes_back_five_times_at_most(folder: Path) -> None:
    rules = Rules(lambda evidence: a_finding(Code.OVERFIT, first_step=0))
    reports = trained(a_job({"overfit": "rollback_and_lower_rate"}, epochs=20), folder, rules)
    rates = [epoch.metrics["learning_rate"] for epoch in of(EpochEnded, reports)]
    assert of(Ended, reports)[0].outcome == "failed"
    assert rates[-1] == pytest.approx(0.001 * 0.1**5)


def test_of_several_runs_the_best_is_diagnosed(folder: Path) -> None:
    rules = Rules()
    reports = trained(a_job(restarts=3, epochs=2), folder, rules)
    runs = of(Ended, reports)[0].runs
    assert [run["first_step"] for run in runs] == [0, 6, 12]
    best = min(runs, key=lambda run: run["best"]["validation_loss"])
    last = rules.shown[-1]
    assert last.complete
    assert last.samples["tensors"].steps.tolist() == list(range(best["first_step"], best["first_step"] + 6))


def is_bad(evidence: Evidence) -> Finding | None:
    return a_finding(Code.PLATEAU) if evidence.complete else None


@pytest.mark.parametrize(("restarts", "seed"), [(1, 0), (2, 0), (2, 1), (2, 2)])
def test_a_resumed_job_comes_to_the_same_diagnosis(restarts: int, seed: int, folder: Path, tmp_path: Path) -> None:
    """Left after every step, batch of validation, epoch and run."""
    job = a_job(restarts=restarts, epochs=2 if restarts == 1 else 1, seed=seed)
    undisturbed = Rules(is_bad)
    expected = [report.data for report in of(Sampled, trained(job, folder, undisturbed)) if report.series == "flight"]
    for call in itertools.count(1):
        rules, checkpoints = Rules(is_bad), Checkpoints(tmp_path / str(call), 1, 1e9)
        reports = trained(job, folder, Rules(is_bad), at(call), checkpoints=checkpoints)
        if of(Ended, reports)[0].outcome == "succeeded":
            break
        assert not of(Diagnosed, reports[-1:])
        [path] = checkpoints.folder.iterdir()
        again = replace(checkpoints, attempt=2, resume_from=path.name)
        reports = trained(job, folder, rules, checkpoints=again)
        assert numbers(rules.shown[-1]) == numbers(undisturbed.shown[-1]), f"left at look {call}"
        if restarts == 1:
            flights = [report.data for report in of(Sampled, reports) if report.series == "flight"]
            assert flights == expected
    assert call > 5


def test_a_cancelled_job_has_a_diagnosis_and_a_paused_one_has_not_yet(folder: Path, tmp_path: Path) -> None:
    *_, diagnosed, end = trained(a_job(), folder, Rules(), at(5, "cancel"))
    assert isinstance(diagnosed, Diagnosed)
    assert isinstance(end, Ended)
    assert end.outcome == "cancelled"
    rules = Rules()
    trained(a_job(), folder, rules, at(5, "cancel"))
    assert [evidence.is_abandoned for evidence in rules.shown] == [False, True]
    paused = trained(a_job(), folder, Rules(), at(2, "pause"), checkpoints=Checkpoints(tmp_path, 1, 1e9))
    assert not of(Diagnosed, paused)


def test_a_job_that_an_error_ends_has_one_too(folder: Path) -> None:
    rules = Rules()
    reports: list[Report] = []

    def breaks(report: Report) -> None:
        reports.append(report)
        if isinstance(report, EpochEnded):
            raise RuntimeError("the pipe is gone")

    with pytest.raises(RuntimeError, match="the pipe is gone"):
        train_job(a_job(), folder, CPU, breaks, lambda: None, judge=rules)
    assert isinstance(reports[-1], Diagnosed)
    assert reports[-1].diagnosis.complete


def test_rules_that_fail_do_not_stop_the_training(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken(evidence: Evidence) -> Diagnosis:
        raise ZeroDivisionError

    reports = trained(a_job(), folder, broken)
    assert of(Ended, reports)[0].outcome == "succeeded"
    assert not of(Diagnosed, reports)
    assert "could not be diagnosed" in caplog.text


def test_cheap_models_that_fail_do_not_fail_a_job_that_has_done_its_work(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("workers.training.job.reference_skills", broken)
    reports = trained(a_job(), folder, Rules())
    assert of(Ended, reports)[0].outcome == "succeeded"
    assert of(Diagnosed, reports)[-1].diagnosis.complete
    assert "could not be compared with cheap models" in caplog.text


def test_what_a_finding_rests_on_is_reported_before_it(folder: Path) -> None:
    """A runner that is killed then leaves behind all that was said of the job."""
    reports = trained(a_job(), folder, Rules(lambda evidence: a_finding(Code.SATURATED)))
    first = next(place for place, report in enumerate(reports) if isinstance(report, Diagnosed))
    assert {report.series for report in of(Sampled, reports[:first])} == {"tensors", "layers", "steps"}
    assert {report.last_step for report in of(Sampled, reports[:first])} == {2}


def test_what_is_told_last_of_the_first_incident_is_evidence() -> None:
    seen = Gathering(a_job())
    first = Incident(5, 0, "gradient", 1, "hidden_0.weight", "nan", [4], "continue")
    for incident in (first, replace(first, step=9), replace(first, count=3)):
        seen.see(incident)
    assert seen.evidence(True).incident == replace(first, count=3)


def test_an_epoch_in_which_a_policy_ended_a_job_is_no_divergence(folder: Path) -> None:
    dead = {"kind": "normal", "std": 0.8, "bias": -100}
    network = {"family": "dnn", "hidden": [32, 32], "init": dead}
    changes = {"network": network, "training": {"batch_size": 8}, "policies": {"dead_at_init": "stop"}}
    job = JobDefinition.model_validate(IRIS | changes)
    reports = trained(job, folder, diagnose)
    assert of(Ended, reports)[0].error["code"] == "dead_at_init"
    assert of(EpochEnded, reports)[-1].metrics["validation_loss"] is None
    said = of(Diagnosed, reports)[-1].diagnosis
    assert said.complete
    assert said.findings[0].code == Code.DEAD_AT_INIT
    assert Code.NONFINITE not in [finding.code for finding in said.findings]


@pytest.mark.parametrize(("skill", "asks"), [(0.1, 1), (float("nan"), 0), (0.9, 0)])
def test_where_a_job_has_learned_little_it_is_asked_how_cheap_models_do(skill: float, asks: int) -> None:
    job = a_job()
    reports: list[Report] = []
    rules = Rules()
    seen = Insight(job, reports.append, rules, lambda: {"ridge": {"train_skill": 0.9, "validation_skill": 0.8}})
    seen.begin_run(12, dict, lambda: None)
    seen(EpochEnded(1, 3, {"train_loss": 0.1, "skill": skill}, True, 0.1))
    seen.end_run(0.1, lambda: None, is_only=True)
    seen.end_job("succeeded")
    assert len(of(Facts, reports)) == asks
    assert ("reference" in rules.shown[-1].facts) == bool(asks)
