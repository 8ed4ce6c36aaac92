"""What docs/operations.md, the alerts and the dashboard name is there: metrics, labels, settings, alerts, commands."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from migrations.migrate import migrate
from models.settings import PREFIX, Settings
from service.app import create_app
from tests.promql import alerts, expressions, selectors
from tests.service.conftest import HEADERS, SMALL

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
OF_PROMETHEUS = {"up"}
Series = dict[str, list[dict[str, str]]]


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a service tells that was asked for something."""
    folder = tmp_path_factory.mktemp("operations")
    settings = Settings(data=folder, api_key="k" * 32)
    migrate(settings.database)
    app = create_app(settings)
    client = app.test_client()
    app.extensions["descent"].doorbell.ring = lambda: None
    job = client.post("/v1/jobs", json=SMALL, headers=HEADERS).json["id"]
    for path in ("/v1/jobs", f"/v1/jobs/{job}"):
        client.get(path, headers=HEADERS)
    text = client.get("/metrics", headers=HEADERS).text
    app.extensions["descent"].database.close()
    return text


@pytest.fixture(scope="module")
def series(exposed: str) -> Series:
    """The labels of each series, by metric."""
    found: Series = {}
    for family in text_string_to_metric_families(exposed):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    # No worker is there to tell of its slots.
    for name in ("slots", "slots_busy"):
        found[f"descent_{name}"] = [{"host": "h", "device": "cpu"}]
    found["descent_worker_silence_seconds"] = [{"host": "h"}]
    return found


@pytest.mark.parametrize("expression", expressions())
def test_each_expression_asks_for_what_is_told(expression: str, series: Series) -> None:
    found = selectors(expression)
    assert found
    for name, conditions in found:
        assert name in series.keys() | OF_PROMETHEUS, name
        for label, operator, value in conditions if name in series else ():
            known = {labels[label] for labels in series[name] if label in labels}
            assert known, f"{name} has no label {label}"
            if label == "status" and name.startswith("descent_http"):
                continue  # there was no answer of 5xx
            for one in value.split("|") if "~" in operator else [value]:
                assert any(re.fullmatch(one, there) for there in known), f"{name}{{{label}}}: {one}"


def test_an_expression_that_asks_for_nothing_would_be_noticed(series: Series) -> None:
    with pytest.raises(AssertionError):
        test_each_expression_asks_for_what_is_told("max(descent_queue_job)", series)
    with pytest.raises(AssertionError):
        test_each_expression_asks_for_what_is_told('sum(descent_workers{state="dead"})', series)
    with pytest.raises(ValueError, match="unclosed"):
        selectors("max by (x (descent_queue_jobs)")


def test_all_labels_that_expressions_speak_of_are_there(series: Series) -> None:
    grouped = {
        name for one in expressions() for names in re.findall(r"by \(([^)]*)\)", one) for name in names.split(",")
    }
    of_prometheus = {"instance", "job", "le"}
    known = {label for all_of_one in series.values() for labels in all_of_one for label in labels} | of_prometheus
    assert {name.strip() for name in grouped} <= known


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_each_alert_says_what_it_is_and_has_its_page(rule: dict[str, object]) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Descent[A-Za-z]+", str(rule["alert"]))
    assert re.fullmatch(r"\d+[smh]", str(rule.get("for", "1m")))
    assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    assert isinstance(rule["annotations"], dict)
    assert rule["annotations"]["summary"]
    assert f"\n### {rule['alert']}\n" in PAGE


def test_the_page_has_no_alert_that_is_none() -> None:
    assert set(re.findall(r"^### (Descent\w+)$", PAGE, re.MULTILINE)) == {rule["alert"] for rule in alerts()}


def test_the_page_lists_every_metric_and_no_other(series: Series) -> None:
    named = set(re.findall(r"`(descent_\w+)`", PAGE.split("## When an alert fires")[0]))
    suffix = re.compile(r"_(bucket|count|sum|created)$")
    told = {suffix.sub("", name) for name in series if name.startswith("descent_")}
    assert named == told
    assert all(name in told for name in re.findall(r"\bdescent_[a-z_]+", PAGE))


def test_the_page_names_settings_and_modules_that_exist() -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]+", PAGE))
    assert named
    assert named <= known
    modules = set(re.findall(r"python -m ([\w.]+)", PAGE))
    assert modules >= {"migrations.migrate", "service.serve", "workers"}
    assert all(find_spec(name) for name in modules)
