"""Each rule fires on a synthetic record of its fault, and not on one just under its threshold."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.diagnosis.diagnose import REMAINING, RULES, diagnose
from models.diagnosis.evidence import Gathering
from models.diagnosis.finding import Code, Severity
from models.diagnosis.reading import Reading
from models.patches import patched
from models.reports import Incident
from tests.models.records import ADDING, EPOCHS, FAILING, PLAIN_RNN, SAMPLES, a_record, codes, faults

SIGMOID = {"family": "dnn", "hidden": [16] * 6, "activation": "sigmoid"}
TANH = {"family": "dnn", "hidden": [16] * 6, "activation": "tanh"}
RAW = {"dataset": "xor", "normalise": "none"}
LOOKAHEAD = {"dataset": "lookahead", "parameters": {"length": 30, "lag": 2}}
NOTHING_BETTER = {"reference": {"nearest": {"train_skill": 0.03, "validation_skill": 0.02}}}
NOISY = FAILING | {"skill": np.resize([0.0, 0.1], EPOCHS)}
LITTLE_BETTER = {"reference": {"ridge": {"train_skill": 0.45, "validation_skill": 0.42}}}
IMBALANCED = {"class_counts": [300, 20]}
RISING = {"validation_loss": np.r_[np.linspace(0.69, 0.3, 8), np.linspace(0.31, 0.6, 12)],
          "validation_accuracy": np.r_[np.linspace(0.5, 0.95, 8), np.linspace(0.94, 0.8, 12)]}  # fmt: skip
RISING_A_LITTLE = {"validation_loss": np.r_[np.linspace(0.69, 0.3, 8), np.linspace(0.31, 0.355, 12)]}


def over_time(gain: float) -> np.ndarray:
    """Norms of dL/dh_t that shrink or grow by this a time step, [samples, 30]."""
    return np.broadcast_to(gain ** np.arange(29, -1, -1.0), (SAMPLES, 30))


def alternating(values: list[float]) -> np.ndarray:
    return np.resize(np.array(values), SAMPLES)


def from_sample(first: int, before: float, after: float) -> np.ndarray:
    return np.where(np.arange(SAMPLES) < first, before, after)


def an_incident(place: str = "gradient") -> Incident:
    return Incident(12, 1, place, 2, "hidden_2.linear.weight", "nan", [1, 2, 3], "stop")


FAILS = {"epochs": FAILING}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nonfinite": (FAILS | {"incident": an_incident()}, FAILS),
    "constant_init": (
        FAILS | {"network": {"family": "dnn", "hidden": [8], "init": "zeros"}},
        FAILS | {"network": {"family": "dnn", "hidden": [8], "init": {"kind": "normal", "std": 0.01}}},
    ),
    "wrong_output": (
        FAILS | {"network": {"family": "dnn", "hidden": [8], "output": "softmax"}},
        FAILS | {"network": {"family": "dnn", "hidden": [8], "output": "linear"}},
    ),
    "unnormalised_input": (
        FAILS | {"data": RAW, "facts": {"input_rms": 3.1}},
        FAILS | {"data": RAW, "facts": {"input_rms": 2.9}},
    ),
    "unnormalised_target": (
        FAILS | {"data": RAW, "facts": {"target_rms": 3.1, "target_std": 1.0}},
        FAILS | {"data": RAW, "facts": {"target_rms": 2.9, "target_std": 1.0}},
    ),
    "dead_at_init": (FAILS | {"layers__dead": 0.91}, FAILS | {"layers__dead": 0.89}),
    "saturated": (
        FAILS | {"network": TANH, "layers__saturation": 0.24},
        FAILS | {"network": TANH, "layers__saturation": 0.26},
    ),
    "exploding_depth": (
        FAILS | {"layers__gain": 1.7, "steps__loss": 2.2},
        FAILS | {"layers__gain": 1.5, "steps__loss": 2.2},
    ),
    "exploding_time": (
        FAILS | {"network": PLAIN_RNN, "data": ADDING, "time__norm": 1 / over_time(1 / 1.1)},
        FAILS | {"network": PLAIN_RNN, "data": ADDING, "time__norm": 1 / over_time(1 / 1.04)},
    ),
    "vanishing_depth": (FAILS | {"layers__gain": 0.4}, FAILS | {"layers__gain": 0.61}),
    "vanishing_time": (
        FAILS | {"network": PLAIN_RNN, "data": ADDING, "time__norm": over_time(0.7)},
        FAILS | {"network": PLAIN_RNN, "data": ADDING, "time__norm": over_time(0.85)},
    ),
    "learning_rate_too_high": (
        FAILS | {"steps__rho": alternating([0.8, 0.8, 0.7, 0.6, 0.9, -0.5])},
        FAILS | {"steps__rho": alternating([0.8, 0.8, 0.7, 0.6, 0.9, 0.1])},
    ),
    "learning_rate_too_low": (
        FAILS | {"steps__rho": 0.999, "tensors__update_ratio": 1e-5},
        FAILS | {"steps__rho": 0.999, "tensors__update_ratio": 3e-4},
    ),
    "batch_too_small": (
        {"epochs": NOISY, "training": {"batch_size": 1}, "facts": {"probe_rows": 64}, "steps__probe_gradient": 0.5},
        {"epochs": NOISY, "training": {"batch_size": 1}, "facts": {"probe_rows": 64}, "steps__probe_gradient": 1.4},
    ),
    "dying_units": (
        FAILS | {"layers__dead": from_sample(8, 0.2, 0.95)},
        FAILS | {"layers__dead": from_sample(8, 0.2, 0.85)},
    ),
    "overfit": ({"epochs": RISING}, {"epochs": RISING_A_LITTLE}),
    "class_imbalance": (
        {"epochs": FAILING | {"train_accuracy": 0.94}, "facts": IMBALANCED},
        {"epochs": FAILING | {"train_accuracy": 0.94}, "facts": {"class_counts": [220, 100]}},
    ),
    "stalled": (FAILS | {"tensors__update_ratio": 0.0}, FAILS | {"tensors__update_ratio": 1e-6}),
    "slow": (
        {"epochs": FAILING | {"train_loss": 0.69 * np.exp(-0.02 * np.arange(EPOCHS))}},
        {"epochs": FAILING | {"train_loss": 0.69 * np.exp(-0.002 * np.arange(EPOCHS))}},
    ),
    "no_signal": (FAILS | {"facts": NOTHING_BETTER}, FAILS),
    "low_signal": (
        {"epochs": FAILING | {"skill": 0.44, "validation_skill": 0.4}, "facts": LITTLE_BETTER},
        {"epochs": FAILING | {"skill": 0.25, "validation_skill": 0.2}, "facts": LITTLE_BETTER},
    ),
    "plateau": (FAILS, {}),
}
"""A record with the fault, and one just short of it."""


def test_findings_are_listed_in_the_order_in_which_rules_ask_for_them() -> None:
    """By the first rule that gives each."""
    records = {code: record for code, (record, _) in CASES.items()} | {"vanishing_depth": FAILS | {"layers__gain": 0.1}}

    def first(code: Code) -> int:
        found = [rule(Reading(a_record(**records[code]))) for rule in (*RULES, *REMAINING)]
        return next(place for place, finding in enumerate(found) if finding and finding.code == code)

    places = [first(code) for code in Code]
    assert places == sorted(places)


def test_every_finding_has_a_case() -> None:
    assert set(CASES) == {code.value for code in Code}


@pytest.mark.parametrize("code", CASES)
def test_a_rule_fires_on_its_fault_and_says_so_with_numbers(code: str) -> None:
    diagnosis = diagnose(a_record(**CASES[code][0]))
    assert codes(diagnosis)[0] == code
    finding = diagnosis.findings[0]
    assert finding.severity == (Severity.WARNING if code == "low_signal" else Severity.FAULT)
    assert any(character.isdigit() for character in finding.explanation), finding.explanation
    assert all(item.value is not None for item in finding.evidence)


@pytest.mark.parametrize("code", CASES)
def test_a_rule_is_silent_just_under_its_threshold(code: str) -> None:
    assert code not in codes(diagnose(a_record(**CASES[code][1])))


@pytest.mark.parametrize("code", CASES)
def test_every_remedy_applies_to_its_definition_and_changes_it(code: str) -> None:
    evidence = a_record(**CASES[code][0])
    for finding in diagnose(evidence).findings:
        for remedy in finding.remedies:
            before = evidence.definition
            after = patched(before.plain(), list(remedy.patch), 10**6)
            assert type(before).model_validate_json(after) != before
    assert code in ("no_signal", "low_signal") or diagnose(evidence).findings[0].remedies


def test_a_healthy_job_has_no_finding_and_lists_its_margins() -> None:
    diagnosis = diagnose(a_record())
    assert (diagnosis.findings, diagnosis.verdict) == ((), "healthy")
    assert diagnosis.margins["vanishing_depth"] == pytest.approx(1 / 0.6, rel=1e-2)


@pytest.mark.parametrize("statistics", [{"layers__gain": 0.2}, {"layers__dead": 0.99}, {"facts": {"input_rms": 4.0}},
                                        {"tensors__update_ratio": 1e-5, "steps__rho": 1.0}])  # fmt: skip
def test_a_job_that_learned_well_has_no_fault_whatever_was_measured(statistics: dict[str, Any]) -> None:
    assert faults(a_record(**statistics)) == []


def test_what_depends_on_the_outcome_is_a_warning_until_the_outcome_is_known() -> None:
    early = {"epochs": FAILING, "complete": False, "planned_steps": 1000, "layers__gain": 0.4}
    assert (codes(diagnose(a_record(**early))), faults(a_record(**early))) == (["vanishing_depth"], [])


@pytest.mark.parametrize("smoothing", [0.1, 0.3, 0.5])
def test_smoothed_labels_take_nothing_from_a_perfect_network(smoothing: float) -> None:
    """Its loss is the entropy of its targets: 0.199, 0.423 and 0.562 nats of two classes."""
    own = 1 - smoothing / 2
    least = -own * np.log(own) - (1 - own) * np.log(1 - own)
    skill = 1 - least / 0.693
    epochs = {"skill": skill, "validation_skill": skill, "train_loss": least, "validation_loss": least}
    diagnosis = diagnose(a_record(epochs=epochs, training={"label_smoothing": smoothing}))
    assert (diagnosis.findings, diagnosis.verdict) == ((), "healthy")
    assert diagnosis.skill == pytest.approx(1, abs=1e-3)
    assert faults(a_record(epochs=FAILING, training={"label_smoothing": smoothing})) == ["plateau"]


def test_silent_units_before_the_first_step_are_a_fault_at_once() -> None:
    assert faults(a_record(complete=False, epochs=FAILING, layers__dead=1.0)) == ["dead_at_init"]


def test_a_cause_explains_what_follows_from_it() -> None:
    """Steps that are too long kill units; then nothing is finite."""
    record = a_record(epochs=FAILING, steps__rho=-3.0, layers__dead=from_sample(5, 0.1, 1.0), incident=an_incident())
    finding = diagnose(record).findings[0]
    assert finding.code == "learning_rate_too_high"
    assert set(finding.consequences) == {"dying_units", "nonfinite"}


def test_weights_that_lie_still_after_long_steps_are_no_sign_of_short_ones() -> None:
    long = from_sample(2, 0.05, 1e-5)
    record = a_record(
        epochs=FAILING, steps__rho=0.999, tensors__update_ratio=long, layers__dead=from_sample(3, 0.1, 1.0)
    )
    assert faults(record)[0] == "learning_rate_too_high"


@pytest.mark.parametrize(("second", "found"), [(0.67, "learning_rate_too_low"), (0.69, "plateau")])
def test_two_epochs_are_enough_for_a_loss_that_is_straight_along_every_step(second: float, found: str) -> None:
    record = a_record(epochs=FAILING, steps__rho=0.995)
    two = {name: values[:2] for name, values in record.epochs.items()} | {"train_loss": np.array([0.68, second])}
    assert faults(replace(record, epochs=two)) == [found]


def test_a_last_loss_of_nothing_is_not_extrapolated() -> None:
    record = a_record(epochs=FAILING, steps__loss=np.geomspace(0.7, 0.1, SAMPLES), complete=False)
    two = {name: values[:2] for name, values in record.epochs.items()} | {"train_loss": np.array([0.68, 0.0])}
    assert "slow" not in codes(diagnose(replace(record, epochs=two)))


def test_a_plateau_says_whether_the_loss_still_falls() -> None:
    for pace, said in ((0.002, "falls too slowly"), (0.0, "does not fall any more")):
        epochs = FAILING | {"train_loss": 0.69 * np.exp(-pace * np.arange(EPOCHS))}
        assert said in diagnose(a_record(epochs=epochs)).findings[0].explanation


def test_tiny_steps_come_before_a_gradient_that_other_jobs_learn_with() -> None:
    record = a_record(epochs=FAILING, layers__gain=0.4, steps__rho=1.0, tensors__update_ratio=1e-6)
    assert faults(record)[0] == "learning_rate_too_low"


def test_an_explosion_over_time_before_the_first_step_is_one_though_training_tames_it() -> None:
    """Beyond doubt, so that a job that learned half of it has a fault too."""
    tamed = np.where(np.arange(SAMPLES)[:, None] < 4, 1 / over_time(1 / 1.2), 1 / over_time(1 / 1.01))
    record = {"network": PLAIN_RNN, "data": ADDING, "facts": BLIND, "time__norm": tamed}
    assert faults(a_record(epochs=FAILING, **record))[0] == "exploding_time"
    assert faults(a_record(epochs=HALF_WAY, **record)) == ["exploding_time"]
    assert faults(a_record(epochs=FAILING, **record | {"time__norm": tamed[::-1]}))[0] != "exploding_time"


def test_an_average_over_time_steps_is_not_taken_for_an_explosion() -> None:
    """Each time step adds its share, so the gradient grows toward the first in proportion to the length."""
    network = PLAIN_RNN | {"readout": "mean"}
    growing = np.broadcast_to(np.arange(30.0, 0, -1), (SAMPLES, 30))
    assert "exploding_time" not in codes(diagnose(a_record(network, ADDING, epochs=FAILING, time__norm=growing)))


def test_the_backward_direction_is_read_backward() -> None:
    """Its near end is the first time step."""
    network = PLAIN_RNN | {"bidirectional": True}
    both = np.concatenate([over_time(0.7), over_time(0.7)[:, ::-1]], axis=1)
    assert faults(a_record(network, ADDING, epochs=FAILING, time__norm=both))[0] == "vanishing_time"


def test_rates_alone_decide_nothing() -> None:
    """The same record at very different rates has the same findings."""
    for rate in (1e-6, 1.0):
        record = a_record(training={"optimizer": {"kind": "sgd", "learning_rate": rate}})
        assert diagnose(record).findings == ()


THROWN = {"steps__rho": from_sample(1, -0.1, 0.85), "tensors__update_ratio": from_sample(3, 0.6, 2e-3)}
FITS_ITS_ROWS = RISING | {"skill": 0.95, "validation_skill": 0.2}
HALF_WAY = {"skill": 0.7, "validation_skill": 0.6}
BLIND = {"reference": {"nearest": {"train_skill": 0.02, "validation_skill": 0.03}}}


def test_a_network_thrown_by_its_first_steps_fits_only_its_rows_for_that() -> None:
    assert faults(a_record(epochs=FITS_ITS_ROWS, **THROWN))[0] == "learning_rate_too_high"
    assert faults(a_record(epochs=FITS_ITS_ROWS)) == ["overfit"]


def test_steps_a_little_too_long_do_not_explain_rows_learned_by_heart() -> None:
    """Some of them raise the loss, and it fell all the same."""
    a_little = alternating([0.6, 0.5, 0.7, 0.6, 0.7, 0.6, 0.7, 0.7, 0.6, -0.5])
    assert faults(a_record(epochs=FITS_ITS_ROWS, steps__rho=a_little)) == ["overfit"]


@pytest.mark.parametrize(("reached", "found"), [(0.6, ["exploding_depth"]), (0.8, [])])
def test_a_cause_beyond_doubt_is_a_fault_of_a_job_that_falls_short(reached: float, found: list[str]) -> None:
    """Where no cheap model says what could be reached."""
    record = a_record(epochs=HALF_WAY | {"validation_skill": reached}, facts=BLIND, layers__gain=1.7, steps__loss=2.2)
    assert (faults(record), codes(diagnose(record))) == (found, ["exploding_depth"])


@pytest.mark.parametrize(("best", "found"), [(0.75, ["learning_rate_too_high"]), (0.7, [])])
def test_how_far_it_falls_short_is_asked_of_a_cheap_model_that_found_something(best: float, found: list[str]) -> None:
    reference = {"reference": {"ridge": {"train_skill": best, "validation_skill": best}}}
    assert faults(a_record(epochs=HALF_WAY, facts=reference, steps__rho=0.2)) == found


def test_a_cheap_model_that_finds_little_in_a_sequence_excuses_no_network() -> None:
    epochs = {"skill": 0.3, "validation_skill": 0.3}
    little = {"reference": {"ridge": {"train_skill": 0.25, "validation_skill": 0.25}}, "class_counts": None}
    assert faults(a_record(PLAIN_RNN, ADDING, facts=little, epochs=epochs, steps__rho=0.2)) == [
        "learning_rate_too_high"
    ]
    assert codes(diagnose(a_record(facts=little, epochs=epochs, steps__rho=0.2)))[-1] == "low_signal"


def test_a_gradient_lost_by_long_steps_is_told_from_one_that_never_was() -> None:
    long = {"tensors__update_ratio": from_sample(5, 0.05, 1e-3)}
    lost = a_record(epochs=FAILING, layers__gain=from_sample(8, 1.0, 0.2), **long)
    assert faults(lost)[0] == "learning_rate_too_high"
    assert faults(a_record(epochs=FAILING, layers__gain=from_sample(8, 0.45, 0.2), **long))[0] == "vanishing_depth"


def test_a_signal_too_large_for_a_float_has_exploded() -> None:
    signal = np.where(np.arange(6) < 4, 10.0 ** (6 * np.arange(6)), np.nan)
    nothing = {"layers__gain": np.nan, "steps__loss": np.nan, "tensors__update_ratio": 0.0}
    record = a_record(epochs=FAILING, incident=an_incident(), layers__preactivation_rms=signal, **nothing)
    finding = diagnose(record).findings[0]
    assert (finding.code, "layer 5 of 6" in finding.explanation) == ("exploding_depth", True)
    assert codes(diagnose(a_record(epochs=FAILING, incident=an_incident(), **nothing))) == ["nonfinite"]


def test_theory_stands_in_for_layers_that_were_not_watched() -> None:
    record = a_record(SIGMOID | {"hidden": [16] * 12}, epochs=FAILING)
    unwatched = replace(
        record, samples=record.samples | {"layers": Gathering(record.definition).series["layers"].samples()}
    )
    finding = diagnose(unwatched).findings[0]
    assert finding.code == "vanishing_depth"
    assert "not watched" in finding.explanation
    assert finding.evidence[0].value == pytest.approx(record.expectation.mean_gain)
    assert "vanishing_depth" not in codes(diagnose(replace(unwatched, definition=a_record().definition)))


def test_what_follows_a_way_back_is_not_taken_for_the_init() -> None:
    for code in ("dead_at_init", "saturated", "exploding_depth"):
        record = a_record(**CASES[code][0])
        assert codes(diagnose(record))[0] == code
        assert code not in codes(diagnose(replace(record, is_midway=True)))


def test_a_job_cancelled_before_it_was_half_done_has_no_fault_of_its_outcome() -> None:
    epochs = FAILING | {"train_loss": 0.69 * np.exp(-0.02 * np.arange(EPOCHS))}
    for planned, found in ((EPOCHS * 5, ["slow"]), (EPOCHS * 50, [])):
        cancelled = replace(a_record(epochs=epochs, planned_steps=planned), is_abandoned=True)
        assert faults(cancelled) == found


def test_a_rate_so_low_that_its_promise_is_rounded_away_is_too_low() -> None:
    record = {"epochs": FAILING, "steps__predicted": -1e-9, "tensors__update_ratio": 3e-7}
    [finding] = diagnose(a_record(**record)).findings
    assert (finding.code, finding.remedies[0].id) == ("learning_rate_too_low", "raise_rate")
    assert all(item.value is not None for item in finding.evidence)


def test_a_schedule_that_holds_the_rate_back_is_what_is_changed() -> None:
    tiny = {"steps__rho": 0.999, "tensors__update_ratio": 1e-5}
    cases = [
        ({"kind": "constant"}, 1e-3, "raise_rate"),
        ({"kind": "constant", "warmup_steps": 1000}, 1e-6, "steady_rate"),
        ({"kind": "step", "factor": 0.1}, 1e-6, "steady_rate"),
        ({"kind": "step", "factor": 0.1}, 5e-4, "raise_rate"),
    ]
    for schedule, rate, first in cases:
        record = a_record(training={"schedule": schedule}, epochs=FAILING | {"learning_rate": rate}, **tiny)
        [finding] = diagnose(record).findings
        assert finding.remedies[0].id == first


def test_a_rate_that_was_lowered_on_the_way_is_lowered_from_there() -> None:
    """The definition has 0.001; rollbacks left a hundredth of it."""
    record = a_record(epochs=FAILING | {"learning_rate": 1e-5}, steps__rho=-1.0, tensors__update_ratio=0.5)
    remedy = diagnose(record).findings[0].remedies[0]
    assert (remedy.id, remedy.patch[0]["value"]) == ("lower_rate", pytest.approx(2e-7))


def test_where_there_is_no_gradient_nothing_explodes_over_time() -> None:
    record = {"network": PLAIN_RNN, "data": ADDING, "epochs": FAILING}
    assert "exploding_time" not in codes(diagnose(a_record(time__norm=0.0, **record)))
    assert faults(a_record(time__norm=np.inf, **record))[0] == "exploding_time"


def test_a_network_that_learned_nothing_learned_nothing_by_heart() -> None:
    assert faults(a_record(epochs=RISING | FAILING | {"validation_loss": RISING["validation_loss"]})) == ["plateau"]


def test_a_norm_out_of_the_ordinary_is_no_norm_to_clip_at() -> None:
    for norm, clipped in ((0.5, 1.9), (1e6, 1.0)):
        finding = diagnose(a_record(epochs=FAILING, steps__rho=-1.0, tensors__norm=norm)).findings[0]
        [patch] = [remedy.patch for remedy in finding.remedies if remedy.id == "clip"]
        assert patch[0]["value"]["norm"] == clipped


def test_a_running_job_is_not_slow_while_its_epochs_suffice() -> None:
    epochs = FAILING | {"train_loss": 0.69 * np.exp(-0.02 * np.arange(EPOCHS))}
    for planned, found in ((EPOCHS * 5, ["slow"]), (EPOCHS * 50, [])):
        running = a_record(epochs=epochs, complete=False, planned_steps=planned)
        assert [code for code in codes(diagnose(running)) if code == "slow"] == found


def test_rows_learned_while_new_ones_stay_unknown_are_noise_and_not_slow() -> None:
    epochs = {"skill": 0.15, "validation_skill": -0.1, "train_loss": 0.69 * np.exp(-0.02 * np.arange(EPOCHS))}
    pictures = {"dataset": "patterns"}
    assert faults(a_record(data=pictures, epochs=epochs, facts=BLIND)) == ["no_signal"]
    assert faults(a_record(data=pictures, epochs=epochs | {"validation_skill": 0.09}, facts=BLIND)) == ["slow"]


@pytest.mark.parametrize(("kind", "rate"), [("sgd", 10.0), ("adam", 0.1)])
def test_a_rate_is_never_raised_beyond_what_its_optimizer_can_take(kind: str, rate: float) -> None:
    training = {"optimizer": {"kind": kind, "learning_rate": 0.05}}
    record = a_record(epochs=FAILING, training=training, steps__rho=1.0, tensors__update_ratio=1e-7)
    assert diagnose(record).findings[0].remedies[0].patch[0]["value"] == rate


BY_HEART = {"skill": 0.95, "validation_skill": 0.1, "validation_loss": 0.65}
REMEDIES: dict[str, tuple[dict[str, Any], str]] = {
    "a sigmoid cannot have a gain of 1": (FAILS | {"network": SIGMOID, "layers__gain": 0.2}, "relu_he"),
    "tanh can": (FAILS | {"network": TANH | {"init": "default"}, "layers__gain": 0.4}, "init_auto"),
    "with the right init it is the depth": (FAILS | {"layers__gain": 0.4}, "residual"),
    "a straight line parts nothing": (FAILS | {"network": {"family": "dnn", "hidden": []}}, "hidden_layer"),
    "layers without activation are one": (
        FAILS | {"network": {"family": "dnn", "hidden": [8, 8], "activation": "linear"}},
        "relu",
    ),
    "one row is not all rows": (FAILS | {"training": {"batch_size": 1}, "steps__rho": -1.0}, "larger_batch"),
    "steps are short, the valley is narrow": (
        FAILS | {"network": {"family": "dnn", "hidden": [16] * 12}, "steps__rho": 0.1},
        "residual",
    ),
    "steps were long, and now nothing moves": (
        FAILS | {"network": {"family": "dnn", "hidden": [16] * 12}, "steps__rho": from_sample(2, -1.0, 0.1),
                 "tensors__update_ratio": from_sample(2, 0.3, 1e-4)},
        "lower_rate",
    ),
    "steps are long": (FAILS | {"steps__rho": -1.0, "tensors__update_ratio": 0.5}, "lower_rate"),
    "a plain cell forgets": (
        FAILS | {"network": PLAIN_RNN, "data": ADDING, "time__norm": over_time(0.5)},
        "gru",
    ),
    "an lstm can be told to remember": (
        FAILS | {"network": PLAIN_RNN | {"cell": "lstm"}, "data": ADDING, "time__norm": over_time(0.5)},
        "forget_bias",
    ),
    "what tells comes later": (
        FAILS | {"network": PLAIN_RNN | {"readout": "each"}, "data": LOOKAHEAD},
        "bidirectional",
    ),
    "what tells came before": (
        FAILS | {"network": {"family": "dnn", "hidden": [8]}, "data": ADDING | {"features": "last"},
                 "facts": NOTHING_BETTER},
        "whole_sequence",
    ),
    "pictures want kernels": (
        {"network": {"family": "dnn", "hidden": [8]}, "data": {"dataset": "digits"}, "epochs": BY_HEART,
         "facts": {"rows": 1400}},
        "convolution",
    ),
}  # fmt: skip


@pytest.mark.parametrize("reason", REMEDIES)
def test_the_first_remedy_is_chosen_by_what_was_measured(reason: str) -> None:
    record, expected = REMEDIES[reason]
    evidence = a_record(**record)
    remedy = diagnose(evidence).findings[0].remedies[0]
    assert remedy.id == expected
    after = patched(evidence.definition.plain(), list(remedy.patch), 10**6)
    assert type(evidence.definition).model_validate_json(after) != evidence.definition


def test_a_rate_is_lowered_by_how_long_the_updates_are() -> None:
    """Their first ones are to be of a twentieth of the weights, later ones of two hundredths."""
    rates = {}
    for ratio in (0.1, 1.0):
        record = a_record(epochs=FAILING, steps__rho=-1.0, tensors__update_ratio=ratio)
        patch = diagnose(record).findings[0].remedies[0].patch
        rates[ratio] = patch[0]["value"]
    assert rates == {0.1: pytest.approx(5e-5), 1.0: pytest.approx(2e-5)}


def test_a_job_that_stops_for_its_best_epoch_is_judged_by_it() -> None:
    skills = {"skill": 0.95, "validation_skill": np.r_[np.linspace(0, 0.45, 12), np.linspace(0.4, 0.2, 8)]}
    losses = {"validation_loss": 0.69 * (1 - skills["validation_skill"])}
    reference = {"reference": {"ridge": {"train_skill": 0.5, "validation_skill": 0.45}}}
    assert faults(a_record(epochs=skills | losses, facts=reference)) == ["overfit"]
    assert faults(a_record(epochs=skills | losses, facts=reference, training={"stop": {"patience": 8}})) == []


def test_a_job_that_stopped_in_time_is_not_over_fitted() -> None:
    """Its validation loss has risen for as many epochs as its patience, and the best weights are kept."""
    losses = np.r_[np.linspace(0.69, 0.3, 12), np.linspace(0.4, 0.6, 8)]
    for patience, found in ((8, []), (3, ["overfit"])):
        training = {"stop": {"patience": patience}}
        record = a_record(
            training=training, epochs={"validation_loss": losses, "validation_accuracy": RISING["validation_accuracy"]}
        )
        assert faults(record) == found
