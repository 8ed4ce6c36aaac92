"""`/metrics`: after a small story every number is right; what is told is bounded, cheap, and for its key alone."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import func, select, update
from sqlalchemy.exc import OperationalError

from models import lifecycle, tallies, tasks
from models.claims import claim
from models.database import Database, database_now
from models.diagnosis.finding import Code
from models.recording import record
from models.reports import Checkpointed, Ended, Progress, StatisticsLost
from models.states import Status
from models.tables import Finding, Job, Tally
from models.tasks import Kind
from models.workers import Registration, beat
from service import known_figures
from tests.factories import a_claim, a_queued_job, an_offer, row_of
from tests.service.conftest import HEADERS, SMALL, Api
from tests.statements import statements

WORKER = Registration("wrk_a", ("cpu", "cpu"), 2**33, bfloat16=True)
Scrape = Callable[..., float | None]


@pytest.fixture
def scrape(api: Api, monkeypatch: pytest.MonkeyPatch) -> Scrape:
    """The value of a series as it is now; None if there is none."""
    monkeypatch.setattr(known_figures, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(known_figures, "REST", 0)

    def value(name: str, **labels: str) -> float | None:
        return series(api).get((f"descent_{name}", tuple(sorted(labels.items()))))

    return value


def series(api: Api) -> dict[Any, float]:
    reply = api.client.get("/metrics", headers=HEADERS)
    assert reply.status_code == 200, reply.text
    assert reply.mimetype == "text/plain"
    found = [sample for family in text_string_to_metric_families(reply.text) for sample in family.samples]
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in found}


def ends(database: Database, job_id: str, outcome: Status = Status.SUCCEEDED, **more: Any) -> None:
    """The job's attempt comes to its end."""
    with database.write() as connection:
        lifecycle.finish(connection, job_id, row_of(database, job_id).attempt, outcome, **more)


def test_jobs_that_wait_are_counted_by_priority_with_the_age_of_the_oldest(api: Api, scrape: Scrape) -> None:
    for priority in (-5, 0, 0, 7, 1000):
        api.post(priority=priority)
    with api.database.write() as connection:
        oldest = select(func.min(Job.id)).where(Job.priority == 0).scalar_subquery()
        connection.execute(update(Job).where(Job.id == oldest).values(queued_at=database_now() - 100))
    assert [scrape("queue_jobs", priority=name) for name in ("low", "normal", "high")] == [1, 2, 2]
    assert scrape("queue_age_seconds", priority="normal") == pytest.approx(100, abs=10)
    assert scrape("queue_age_seconds", priority="high") == pytest.approx(0, abs=10)


def test_an_empty_service_tells_zeros_and_not_nothing(scrape: Scrape) -> None:
    assert scrape("queue_jobs", priority="high") == 0
    assert scrape("queue_age_seconds", priority="high") == 0
    assert scrape("jobs", status="running") == 0
    assert scrape("jobs_ended_total", status="failed", verdict="unknown") == 0
    assert scrape("jobs_failed_total", code="worker_lost") == 0
    assert scrape("findings_total", code=Code.PLATEAU.value, severity="fault") == 0
    assert scrape("attempts_given_back_total", reason="lost") == 0
    assert scrape("statistics_lag_seconds") == 0
    assert scrape("tasks", kind="export") == 0
    assert scrape("job_wait_seconds_count") == 0
    assert {part: scrape("reachable", part=part) for part in ("database", "storage")} == {"database": 1, "storage": 1}
    assert scrape("disk_free_bytes")


def test_what_runs_tells_how_far_behind_its_records_and_checkpoints_are(api: Api, scrape: Scrape) -> None:
    job = a_queued_job(api.database)
    mine = a_claim(api.database)
    assert scrape("jobs", status="running") == 1
    assert scrape("statistics_lag_seconds") == pytest.approx(0, abs=10)
    with api.database.write() as connection:
        connection.execute(update(Job).where(Job.id == job).values(claimed_at=database_now() - 1000))
    assert scrape("statistics_lag_seconds") == pytest.approx(1000, abs=10)
    assert scrape("checkpoint_age_seconds") == pytest.approx(1000, abs=10)
    with api.database.write() as connection:
        # Reported 30 seconds after the claim by the machine's clock, and by that of the database.
        record(connection, mine, [Checkpointed("1-5-0.pt", 5, 0, 10, 0.1), Progress(7, 0.1, 130.0)], 100.0)
    row = row_of(api.database, job)
    assert row.reported_at == pytest.approx(mine.claimed_at + 30)
    assert scrape("statistics_lag_seconds") == 0, "the newest of claim and report counts"
    assert scrape("checkpoint_age_seconds") == pytest.approx(0, abs=10)


def test_ends_are_counted_by_status_verdict_code_and_finding(api: Api, scrape: Scrape) -> None:
    for _ in range(3):
        a_queued_job(api.database)
    healthy, lost, cancelled = (a_claim(api.database).job_id for _ in range(3))
    with api.database.write() as connection:
        connection.execute(
            update(Job).where(Job.id == healthy).values(verdict="warning", claimed_at=database_now() - 50)
        )
        found = {"owner": "key_test", "place": 0, "code": Code.PLATEAU.value, "severity": "warning", "data": {}}
        connection.execute(Finding.__table__.insert().values(job_id=healthy, **found))
    ends(api.database, healthy)
    ends(api.database, lost, Status.FAILED, error=lifecycle.error("worker_lost", "", "", "infrastructure", True))
    with api.database.write() as connection:
        lifecycle.cancel(connection, cancelled, "key_test", "graceful")
    ends(api.database, cancelled, Status.CANCELLED)
    assert scrape("jobs_ended_total", status="succeeded", verdict="warning") == 1
    assert scrape("jobs_ended_total", status="failed", verdict="unknown") == 1
    assert scrape("jobs_ended_total", status="cancelled", verdict="unknown") == 1
    assert scrape("jobs_failed_total", code="worker_lost") == 1
    assert scrape("findings_total", code="plateau", severity="warning") == 1
    assert scrape("job_wait_seconds_count") == 3
    assert scrape("device_seconds_total") == pytest.approx(50, abs=10)


def test_a_job_that_is_cancelled_while_it_waits_is_counted_and_one_that_is_deleted_stays_so(
    api: Api, scrape: Scrape
) -> None:
    job = api.post().json["id"]
    assert api.ask(job, "cancel").status_code == 202
    assert scrape("jobs_ended_total", status="cancelled", verdict="unknown") == 1
    assert scrape("job_wait_seconds_count") == 0
    assert scrape("device_seconds_total") == 0
    assert api.delete(job).status_code == 204
    assert scrape("jobs_ended_total", status="cancelled", verdict="unknown") == 1


def test_an_end_that_is_told_twice_is_counted_once(api: Api, scrape: Scrape) -> None:
    a_queued_job(api.database)
    job = a_claim(api.database).job_id
    ends(api.database, job)
    ends(api.database, job)
    assert scrape("jobs_ended_total", status="succeeded", verdict="unknown") == 1


def test_attempts_that_are_lost_or_handed_over_are_counted_apart(api: Api, scrape: Scrape) -> None:
    for counts in (True, True, False):
        a_queued_job(api.database)
        mine = a_claim(api.database)
        with api.database.write() as connection:
            lifecycle.give_back(connection, mine.job_id, mine.attempt, "why", 3, counts=counts)
    assert scrape("attempts_given_back_total", reason="lost") == 2
    assert scrape("attempts_given_back_total", reason="handed_over") == 1


def test_samples_that_were_lost_are_counted_when_their_job_ends(api: Api, scrape: Scrape) -> None:
    a_queued_job(api.database)
    mine = a_claim(api.database)
    with api.database.write() as connection:
        record(connection, mine, [StatisticsLost(12), Ended("succeeded", {}, 0.0)], 0.0)
    assert scrape("statistics_lost_samples_total") == 12


def test_workers_and_their_slots_are_told_by_host_and_device(api: Api, scrape: Scrape) -> None:
    host = WORKER.row()["host"]
    with api.database.write() as connection:
        beat(connection, WORKER)
        beat(connection, Registration("wrk_gone", ("cuda:0",), 2**33, bfloat16=True))
        gone = Job.metadata.tables["workers"]
        connection.execute(gone.update().where(gone.c.id == "wrk_gone").values(heartbeat_at=database_now() - 500))
    a_queued_job(api.database)
    a_claim(api.database)
    assert (scrape("workers", state="alive"), scrape("workers", state="lost")) == (1, 1)
    assert (scrape("slots", host=host, device="cpu"), scrape("slots_busy", host=host, device="cpu")) == (2, 1)
    assert scrape("slots", host=host, device="cuda:0") is None, "nobody offers it any more"
    assert scrape("worker_silence_seconds", host=host) == pytest.approx(0, abs=10)


def test_tasks_that_wait_or_run_are_told_by_kind(api: Api, scrape: Scrape) -> None:
    job = a_queued_job(api.database)
    with api.database.write() as connection:
        tasks.create(connection, job, Kind.EXPORT, {})
        tasks.create(connection, job, Kind.EVALUATION, {})
        assert tasks.claim(connection, "wrk_a", (Kind.EXPORT,), 60)
    assert [scrape("tasks", kind=kind) for kind in ("export", "evaluation", "prediction")] == [1, 1, 0]
    assert scrape("task_age_seconds", kind="export") == pytest.approx(0, abs=10)


def test_what_webhooks_are_yet_to_be_told_is_counted_with_its_age(api: Api, scrape: Scrape) -> None:
    api.client.post("/v1/webhooks", json={"url": "https://hooks.example/", "events": ["job.queued"]}, headers=HEADERS)
    api.post()
    api.post()
    assert scrape("webhook_backlog") == 2
    assert scrape("webhook_backlog_age_seconds") == pytest.approx(0, abs=10)


def test_requests_are_counted_by_operation_and_status(api: Api, scrape: Scrape) -> None:
    job = api.post().json["id"]
    for path in (f"/v1/jobs/{job}", f"/v1/jobs/job_{'0' * 26}", "/v1/nothing/of/this", "/v1/something/else"):
        api.client.get(path, headers=HEADERS)
    api.client.post("/v1/jobs", data="{", content_type="application/json", headers=HEADERS)
    api.client.get("/v1/jobs")
    assert scrape("http_requests_total", operation="submit_job", status="202") == 1
    assert scrape("http_requests_total", operation="submit_job", status="400") == 1
    assert scrape("http_requests_total", operation="get_job", status="200") == 1
    assert scrape("http_requests_total", operation="get_job", status="404") == 1
    assert scrape("http_requests_total", operation="list_jobs", status="401") == 1
    assert scrape("http_requests_total", operation="none", status="404") == 2
    assert scrape("http_request_seconds_count", operation="get_job") == 2
    assert scrape("http_request_seconds_bucket", operation="get_job", le="+Inf") == 2


def test_what_a_client_asked_to_wait_is_no_latency(api: Api, scrape: Scrape) -> None:
    job = api.post().json["id"]
    assert api.get(f"/{job}?wait=0.6").status_code == 200
    seconds = scrape("http_request_seconds_sum", operation="get_job")
    assert seconds is not None
    assert seconds < 0.5


def test_however_many_jobs_are_asked_for_there_are_no_more_series(api: Api, scrape: Scrape) -> None:
    def ask(last: str) -> None:
        api.client.get(f"/v1/jobs/job_{last * 26}", headers=HEADERS)
        api.client.get(f"/v1/{last}", headers=HEADERS)
        api.post(priority=int(last), name=last, tags=[last])

    ask("1")
    scrape("build_info")
    before = len(series(api))
    for last in "23456789":
        ask(last)
    assert len(series(api)) == before


@pytest.mark.parametrize("scopes", [("read", "write"), ("read",), ("write",)])
def test_other_keys_do_not_see_what_the_service_does(api: Api, scopes: tuple[str, ...]) -> None:
    assert api.client.get("/metrics", headers=api.a_key(*scopes)).status_code == 403
    assert api.client.get("/metrics").status_code == 401


def test_a_key_for_metrics_sees_them_and_nothing_else(api: Api) -> None:
    headers = api.a_key("metrics")
    assert "descent_queue_jobs" in api.client.get("/metrics", headers=headers).text
    assert api.client.get("/v1/jobs", headers=headers).status_code == 403
    assert api.client.get("/metrics?x=1", headers=headers).status_code == 422


def test_no_owner_job_or_key_is_in_them(api: Api, scrape: Scrape) -> None:
    headers = api.a_key()
    job = api.client.post("/v1/jobs", json=SMALL | {"name": "a-name-of-mine"}, headers=headers).json["id"]
    text = api.client.get("/metrics", headers=HEADERS).text
    for hidden in (job, "key_", "a-name-of-mine", "dsc_"):
        assert hidden not in text


def test_a_second_scrape_asks_the_database_nothing(api: Api) -> None:
    with statements(api.database) as executed:
        series(api)
        first = len(executed)
        series(api)
    assert first <= 8
    assert len(executed) == first


def test_without_the_database_it_says_so_and_tells_what_it_knows_itself(
    api: Api, scrape: Scrape, caplog: pytest.LogCaptureFixture
) -> None:
    away = OperationalError("", {}, Exception("away"))
    with patch.object(known_figures, "read_figures", side_effect=away), caplog.at_level(logging.WARNING):
        assert scrape("reachable", part="database") == 0
        assert scrape("queue_jobs", priority="normal") is None
        assert scrape("http_requests_total", operation="show_metrics", status="200") is not None
    assert "the database is away" in caplog.text
    assert scrape("reachable", part="database") == 1


def test_a_broker_that_is_away_is_told(api: Api, scrape: Scrape) -> None:
    assert scrape("reachable", part="broker") == 0
    (api.folder / "broker" / "messages").mkdir(parents=True)
    assert scrape("reachable", part="broker") == 1


def test_those_who_wait_are_counted(api: Api, scrape: Scrape) -> None:
    watcher = api.client.application.extensions["descent"].watcher
    with watcher.place(), watcher.place():
        assert scrape("waiters") == 2
    assert scrape("waiters") == 0
    assert scrape("database_connections_in_use") == 0


def test_many_tallies_become_few_and_their_sums_stay(database: Database) -> None:
    for _ in range(3):
        a_queued_job(database)
        ends(database, a_claim(database).job_id)
    with database.write() as connection:
        before = sums(connection)
        tallies.fold(connection)
        assert connection.scalar(select(func.count()).select_from(Tally)) > len(before), "so few are left alone"
        with patch.object(tallies, "MOST_ROWS", 5):
            tallies.fold(connection)
        assert connection.scalar(select(func.count()).select_from(Tally)) == len(before)
        assert sums(connection) == pytest.approx(before)
    assert before["ended", "succeeded", "unknown"] == 3


def sums(connection: Any) -> dict[tuple[str, str, str], float]:
    return {(row.name, row.label, row.detail): row.value for row in tallies.SUMS.all(connection)}


def test_two_that_end_at_once_do_not_wait_for_each_other(database: Database) -> None:
    """Nor does one that adds up for one that counts."""
    if database.engine.dialect.name == "sqlite":
        pytest.skip("it has one writer")
    a_queued_job(database)
    a_queued_job(database)
    first, second = a_claim(database), a_claim(database)
    with database.write() as connection:
        lifecycle.finish(connection, first.job_id, first.attempt, Status.SUCCEEDED)
        with database.write() as beside:
            beside.exec_driver_sql("SET LOCAL lock_timeout = 1000")
            tallies.count_end(beside, second.job_id)
            with patch.object(tallies, "MOST_ROWS", 0):
                tallies.fold(beside)


def test_a_job_remembers_the_request_and_the_trace_that_made_it(api: Api) -> None:
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    sent = {"X-Request-Id": "from-a-client", "traceparent": parent}
    job = api.client.post("/v1/jobs", json=SMALL, headers=HEADERS | sent).json["id"]
    row = row_of(api.database, job)
    assert (row.request_id, row.traceparent) == ("from-a-client", parent)
    with api.database.write() as connection:
        taken = claim(connection, "wrk_a", an_offer(), 60)
    assert taken is not None
    assert taken.trail == ("from-a-client", parent)


@pytest.mark.parametrize(
    "wrong",
    ["", "nonsense", f"00-{'0' * 32}-{'b' * 16}-01", f"00-{'a' * 32}-{'0' * 16}-01", f"00-{'A' * 32}-{'b' * 16}-01"],
)
def test_a_traceparent_that_is_none_is_ignored(api: Api, wrong: str) -> None:
    reply = api.client.post("/v1/jobs", json=SMALL, headers=HEADERS | {"traceparent": wrong})
    assert reply.status_code == 202
    assert row_of(api.database, reply.json["id"]).traceparent is None


def test_a_request_has_no_trail_of_the_one_before(api: Api) -> None:
    sent = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    api.client.post("/v1/jobs", json=SMALL, headers=HEADERS | sent)
    job = api.post().json["id"]
    assert row_of(api.database, job).traceparent is None


def test_at_debug_each_request_is_logged_with_its_operation_and_key(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for level, lines in (("info", 0), ("debug", 1)):
        api = Api(database_url, tmp_path, log_level=level)
        caplog.clear()
        with caplog.at_level(logging.DEBUG, "service.access_log"):
            api.client.get("/v1/jobs?limit=1", headers=HEADERS)
        told = [vars(record) for record in caplog.records if record.name == "service.access_log"]
        assert len(told) == lines
        api.close()
    assert (told[0]["operation"], told[0]["status"], told[0]["key"]) == ("list_jobs", 200, "key_bootstrap")
    assert told[0]["message"] == "GET /v1/jobs: 200"
