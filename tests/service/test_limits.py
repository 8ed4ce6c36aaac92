"""Limits of a key and of an owner: each refusal names its setting, and others are served on."""

import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from models.claims import Offer, claim
from models.database import database_now
from models.ids import new_id
from models.lifecycle import finish
from models.settings import Settings
from models.states import Status
from models.tables import Dataset, DeviceDay, Job
from models.usage import TODAY
from service import rates
from service.rates import Rates
from tests.service.conftest import HEADERS, SMALL, Api
from tests.service.test_tenants import a_dataset


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, for the test to move on."""
    clock = [120.0]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    return clock


def test_requests_above_the_limit_are_429_until_the_minute_is_over(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api(database_url, tmp_path, requests_per_minute=3)
    clock = [120.0]
    monkeypatch.setattr("service.rates.time.time", lambda: clock[0])
    for remaining in (2, 1, 0):
        reply = api.get("")
        assert (reply.status_code, reply.headers["RateLimit-Remaining"]) == (200, str(remaining))
        assert (reply.headers["RateLimit-Limit"], reply.headers["RateLimit-Reset"]) == ("3", "61")
        assert "Retry-After" not in reply.headers
    refused = api.post()
    assert (refused.status_code, refused.json["code"]) == (429, "too_many_requests")
    assert (refused.headers["Retry-After"], "DESCENT_REQUESTS_PER_MINUTE" in refused.json["detail"]) == ("61", True)
    assert api.client.get("/healthz").status_code == 200
    clock[0] += 60
    assert api.get("").json["items"] == []
    assert "RateLimit-Limit" not in api.client.get("/v1/jobs").headers
    api.close()


def test_each_key_has_a_minute_of_its_own(now: list[float]) -> None:
    counted = Rates(Settings(requests_per_minute=2))
    assert [counted.count(key).used for key in ("a", "a", "b", "a")] == [1, 2, 1, 3]
    now[0] += 60
    assert counted.count("a").used == 1


def test_two_processes_count_together_in_redis(redis_server: str, now: list[float]) -> None:
    settings = Settings(requests_per_minute=400, broker_url=redis_server)
    key = new_id("key")
    first, second = Rates(settings), Rates(settings)
    for _ in range(300):
        first.count(key)
    let_in = sum(second.count(key).used <= 400 for _ in range(300))
    assert 95 <= let_in <= 100


def test_without_redis_each_process_counts_alone(now: list[float]) -> None:
    counted = Rates(Settings(requests_per_minute=2, broker_url="redis://127.0.0.1:9/0"))
    started = time.monotonic()
    assert [counted.count("a").used for _ in range(4)] == [1, 2, 3, 4]
    assert time.monotonic() - started < 2 * rates.REDIS_SECONDS + 1


def test_usage_says_what_is_used_of_each_limit(api: Api) -> None:
    headers = api.a_key()
    owner = api.client.get("/v1/usage", headers=headers).json["owner"]
    api.client.post("/v1/jobs", json=SMALL, headers=headers)
    with api.database.write() as connection:
        connection.execute(insert(Dataset).values(a_dataset(new_id("dat"), owner) | {"size": 1000}))
    used = api.client.get("/v1/usage", headers=headers).json
    assert (used["owner"], used["scopes"]) == (owner, ["read", "write"])
    assert used["queued_jobs"] == {"used": 1, "limit": 150}
    assert used["stored_bytes"] == {"used": 1000, "limit": None}
    assert used["requests_per_minute"]["limit"] == 6000
    assert used["device_seconds"]["used"] == 0
    assert 0 < used["device_seconds"]["reset_seconds"] <= 86_401


def test_seconds_of_devices_are_counted_for_the_owner_by_the_day(api: Api) -> None:
    headers = api.a_key()
    job = api.client.post("/v1/jobs", json=SMALL, headers=headers).json["id"]
    with api.database.write() as connection:
        claimed = claim(connection, "wrk_a", Offer("cpu", ("cpu",), 1, 2**40, 2**40), 60)
        assert claimed is not None
        connection.execute(update(Job).where(Job.id == job).values(claimed_at=database_now() - 100, wanted_slots=2))
    assert _device_seconds(api, headers) == pytest.approx(200, abs=5)
    with api.database.write() as connection:
        finish(connection, job, claimed.attempt, Status.SUCCEEDED)
    assert _device_seconds(api, headers) == pytest.approx(200, abs=5)
    with api.database.write() as connection:
        [row] = connection.execute(select(DeviceDay.__table__))
        connection.execute(update(DeviceDay).values(day=row.day - 1))
    assert _device_seconds(api, headers) == 0
    assert _device_seconds(api, HEADERS) == 0


def _device_seconds(api: Api, headers: dict[str, str]) -> float:
    return float(api.client.get("/v1/usage", headers=headers).json["device_seconds"]["used"])


@pytest.mark.parametrize(
    ("settings", "name"),
    [({"stored_bytes": 1000}, "DESCENT_STORED_BYTES"), ({"device_seconds": 50.0}, "DESCENT_DEVICE_SECONDS")],
)
def test_who_has_used_up_a_limit_submits_nothing_more_and_others_do(
    database_url: str, tmp_path: Path, settings: dict[str, Any], name: str
) -> None:
    api = Api(database_url, tmp_path, **settings)
    spent, fresh = api.a_key(), api.a_key()
    owner = api.client.get("/v1/usage", headers=spent).json["owner"]
    with api.database.write() as connection:
        connection.execute(insert(Dataset).values(a_dataset(new_id("dat"), owner) | {"size": 1000}))
        day = select(TODAY).scalar_subquery()
        connection.execute(insert(DeviceDay).values(owner=owner, day=day, seconds=60.0))
    for path, sent in (("/v1/jobs", {"json": SMALL}), ("/v1/datasets?name=x", {"data": b"a,b\n1,2\n"})):
        refused = api.client.post(path, headers=spent, **sent)  # type: ignore[arg-type]
        assert (refused.status_code, refused.json["code"]) == (429, "over_budget"), refused.text
        assert name in refused.json["detail"]
        assert int(refused.headers["Retry-After"]) > 0
    assert api.client.post("/v1/jobs", json=SMALL, headers=fresh).status_code == 202
    assert api.client.get("/v1/jobs", headers=spent).status_code == 200
    api.close()
