"""Who works and what waits, as a client sees it; on both databases."""

import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from models import disk
from models.claims import Claim, Offer, claim
from models.database import database_now
from models.keys import BOOTSTRAP
from models.lifecycle import finish
from models.outlook import Line, position, start_in
from models.states import Status
from models.submission import Submission, submit_all
from models.tables import Job, Worker
from models.workers import Registration, beat
from tests.factories import a_definition
from tests.service.conftest import Api

GIB = 2**30


def worker(api: Api, name: str = "wrk_a", slots: tuple[str, ...] = ("cpu",), memory: int = 8 * GIB) -> None:
    with api.database.write() as connection:
        beat(connection, Registration(name, slots, memory, True))


def jobs_of(api: Api, owner: str, count: int, memory: int = 0, **changes: Any) -> list[str]:
    wanted = [Submission(a_definition(**changes), owner, memory)] * count
    with api.database.write() as connection:
        return [answer["id"] for answer in submit_all(connection, wanted, 10**6) if isinstance(answer, dict)]


def take(api: Api, name: str = "wrk_a", device: str = "cpu", free: int = 1) -> Claim:
    with api.database.write() as connection:
        mine = claim(connection, name, Offer(device, (device,) * free, 8, 2**40, 2**40), 60)
    assert mine is not None
    return mine


def queue_of(api: Api, job: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/{job}").json["queue"]
    return found


def refresh(api: Api) -> None:
    """As if what is known of the workers were old."""
    api.client.application.extensions["descent"].queue._fleet_good_until = 0.0


def test_a_worker_shows_its_slots_and_of_the_jobs_of_others_only_that_there_is_one(api: Api) -> None:
    api.be_no_admin()
    worker(api, slots=("cuda:0", "cuda:1", "cuda:1", "cuda:2"))
    worker(api, "wrk_b")
    with api.database.write() as connection:
        long_ago = update(Worker).where(Worker.id == "wrk_b").values(heartbeat_at=database_now() - 61)
        connection.execute(long_ago)
    [mine] = jobs_of(api, BOOTSTRAP, 1)
    [other] = jobs_of(api, "key_other", 1)
    for job, device in ((mine, "cuda:0,cuda:1"), (other, "cuda:1")):
        with api.database.write() as connection:
            values = {"status": "running", "worker": "wrk_a", "device": device, "claimed_at": database_now()}
            connection.execute(update(Job).where(Job.id == job).values(values))
    reply = api.read("/v1/workers").json
    assert reply["next"] is None
    first, second = reply["items"]
    assert [(slot["device"], slot["busy"], slot["job"]) for slot in first["slots"]] == [
        ("cuda:0", True, mine),
        ("cuda:1", True, mine),
        ("cuda:1", True, None),
        ("cuda:2", False, None),
    ]
    assert [slot["since"] is not None for slot in first["slots"]] == [True, True, True, False]
    assert (first["alive"], second["alive"], first["device_memory_bytes"]) == (True, False, 8 * GIB)
    assert {"host", "pid", "started_at", "heartbeat_at", "memory_bytes", "bfloat16"} <= first.keys()
    assert other not in api.read("/v1/workers").text


def test_the_queue_is_in_the_order_of_claims_page_by_page(api: Api) -> None:
    api.be_no_admin()
    low = jobs_of(api, BOOTSTRAP, 3)
    high = jobs_of(api, BOOTSTRAP, 2, priority=2)
    jobs_of(api, "key_other", 4)
    worker(api, slots=("cpu", "cpu"))
    ids: list[str] = []
    positions: list[int] = []
    after = ""
    while True:
        page = api.read(f"/v1/queue?limit=2{after}").json
        assert (page["waiting"], page["running"], page["slots"]) == (9, 0, 2)
        ids += [item["id"] for item in page["items"]]
        positions += [item["position"] for item in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert ids == high + low
    # The other's four jobs lie between: it takes turns.
    assert positions in ([1, 3, 5, 7, 9], [2, 4, 6, 8, 9])
    claimed = []
    for _ in range(9):
        claimed.append(take(api).job_id)
    assert [1 + claimed.index(job) for job in ids] == positions


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "x=1", "after=%00", "after=AA", "after=bmFuIGpvYl8x"])
def test_a_wrong_question_about_the_queue_is_refused_by_name(api: Api, query: str) -> None:
    reply = api.read(f"/v1/queue?{query}")
    assert reply.status_code == 422
    assert reply.json["errors"][0]["pointer"] == f"/{query.partition('=')[0]}"
    assert api.read("/v1/workers?x=1").status_code == 422


def test_what_a_job_waits_for(api: Api) -> None:
    wanted = {
        "plain": {},
        "gpu": {"resources": {"device": "cuda"}},
        "two": {"resources": {"device": "cpu", "processes": 2}},
    }
    jobs = {name: jobs_of(api, BOOTSTRAP, 1, **changes)[0] for name, changes in wanted.items()}
    [large] = jobs_of(api, BOOTSTRAP, 1, memory=6 * GIB)
    [huge] = jobs_of(api, BOOTSTRAP, 1, memory=9 * GIB)
    for job in jobs.values():
        assert (queue_of(api, job)["waiting_for"], queue_of(api, job)["eta_seconds"]) == ("worker", None)
    worker(api, slots=("cpu", "cpu"))
    expected = {"plain": "slot", "gpu": "gpu", "two": "slot"}
    assert {name: queue_of(api, job)["waiting_for"] for name, job in jobs.items()} == expected
    assert [queue_of(api, job)["waiting_for"] for job in (large, huge)] == ["slot", "memory"]
    running = jobs_of(api, BOOTSTRAP, 1, memory=3 * GIB, priority=9)[0]
    assert take(api).job_id == running
    refresh(api)
    assert queue_of(api, jobs["two"])["waiting_for"] == "slots"
    assert queue_of(api, large)["waiting_for"] == "memory"
    worker(api, "wrk_g", slots=("cuda:0", "cuda:1"))
    [several] = jobs_of(api, BOOTSTRAP, 1, resources={"gpus": 3})
    refresh(api)
    assert queue_of(api, jobs["gpu"])["waiting_for"] == "slot"
    assert queue_of(api, several)["waiting_for"] == "gpus"


def test_the_start_of_a_job_is_told_by_measured_steps_and_by_those_that_ended(api: Api) -> None:
    worker(api)
    first, second, third = jobs_of(api, BOOTSTRAP, 3)
    refresh(api)
    assert [queue_of(api, job)["eta_seconds"] for job in (first, second)] == [0, None]
    mine = take(api)
    refresh(api)
    assert queue_of(api, second)["eta_seconds"] is None
    with api.database.write() as connection:
        measured = {"step": 40, "steps": 100, "seconds_per_step": 0.5}
        connection.execute(update(Job).where(Job.id == first).values(measured))
    refresh(api)
    assert queue_of(api, second)["eta_seconds"] == 30
    assert api.get(f"/{first}").json["progress"]["eta_seconds"] == 30
    with api.database.write() as connection:
        connection.execute(update(Job).where(Job.id == first).values(claimed_at=database_now() - 12))
        finish(connection, first, mine.attempt, Status.SUCCEEDED)
    assert take(api).job_id == second
    with api.database.write() as connection:
        connection.execute(update(Job).where(Job.id == second).values(measured))
    [fourth] = jobs_of(api, BOOTSTRAP, 1)
    refresh(api)
    assert queue_of(api, third)["eta_seconds"] == 30
    assert queue_of(api, fourth)["eta_seconds"] == pytest.approx(42, abs=1)


def test_a_job_bounded_by_seconds_ends_with_them(api: Api) -> None:
    [job] = jobs_of(api, BOOTSTRAP, 1, training={"max_seconds": 60.0})
    take(api)
    with api.database.write() as connection:
        values = {"step": 100, "steps": 10**6, "seconds_per_step": 0.5}
        connection.execute(update(Job).where(Job.id == job).values(values))
    progress = api.get(f"/{job}").json["progress"]
    assert (progress["eta_seconds"], progress["fraction"]) == (10, pytest.approx(50 / 60, abs=1e-3))


def test_a_job_among_10_000_is_placed_in_a_moment(api: Api) -> None:
    jobs = jobs_of(api, BOOTSTRAP, 10_000)
    assert api.position(jobs[4999]) == 5000
    started = time.perf_counter()
    for job in jobs[::1000]:
        api.get(f"/{job}")
    assert time.perf_counter() - started < 1


FULL = 2**60


def test_a_full_disk_refuses_jobs_and_nothing_else(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = api.post().json["id"]
    api.ask(job, "cancel")
    waiting = api.post().json["id"]
    worker(api)
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 1)
    for reply in (api.post(), api.ask(job, "retry"), api.ask(job, "clones", {"patch": []})):
        assert (reply.status_code, reply.json["code"]) == (503, "disk_full")
        assert "DESCENT_FREE_DISK_BYTES" in reply.json["detail"]
        assert reply.headers["Retry-After"]
    assert "disk" in api.read("/readyz").json["degraded"]
    assert api.read("/readyz").status_code == 200
    refresh(api)
    assert queue_of(api, waiting)["waiting_for"] == "disk"
    monkeypatch.undo()
    assert api.post().status_code == 202
    assert "disk" not in api.read("/readyz").json["degraded"]


def test_a_job_that_fits_no_registered_worker_is_refused_and_one_that_may_fit_a_later_one_waits(api: Api) -> None:
    capacity = api.client.application.extensions["descent"].capacity
    two, gpus = {"device": "cpu", "processes": 2}, {"gpus": 2}
    assert api.post(resources=two).status_code == 202
    worker(api, memory=GIB)
    capacity._asked_at = -100.0
    refused = api.post(resources=two)
    [problem] = refused.json["errors"]
    assert (refused.status_code, problem["pointer"]) == (422, "/resources/processes")
    assert problem["code"] == "too_many_processes"
    assert "DESCENT_SLOTS" in problem["hint"]
    # No worker with GPUs is registered: one may come.
    assert api.post(resources=gpus).json["queue"]["waiting_for"] == "gpu"
    worker(api, "wrk_g", slots=("cuda:0",), memory=2 * GIB)
    capacity._asked_at = -100.0
    assert api.post(resources=gpus).json["errors"][0]["code"] == "too_many_gpus"
    for resources, accepted in (
        ({"memory": 3 * GIB}, False),
        ({"memory": 2 * GIB}, True),
        ({"memory": 2 * GIB, "device": "cuda"}, True),
        ({"memory": 3 * GIB, "device": "cuda"}, False),
    ):
        reply = api.post(resources=resources)
        assert (reply.status_code == 202) is accepted, reply.text
        if not accepted:
            assert [(e["pointer"], e["code"]) for e in reply.json["errors"]] == [("/resources/memory", "too_large")]


def test_positions_follow_what_owners_hold() -> None:
    mine = Line("a", [(1.0, "a1"), (2.0, "a2"), (3.0, "a3")], holds=0, served=5.0)
    other = Line("b", [(0.0, f"b{n}") for n in range(9)], holds=2, served=1.0)
    # The other holds two more: it comes in only when this owner holds as many.
    assert [position([mine, other], mine, *job) for job in mine.waiting] == [1, 2, 4]
    assert position([mine, other], other, 0.0, "b0") == 3
    newcomer = Line("c", ())
    assert position([mine, other], newcomer, 9.0, "c1") == 1


def test_work_is_poured_over_the_slots() -> None:
    assert start_in(0, [], 1.0) is None
    assert start_in(0, [4.0, 3.0], None) == 3
    assert start_in(1, [4.0, 3.0], None) == 4
    assert start_in(2, [4.0, 3.0], None) is None
    assert start_in(0, [None], None) is None
    assert start_in(2, [0.0], 5.0) == 10
    # A slot that is held for long is not waited for.
    assert start_in(3, [0.0, 1000.0], 2.0) == 6


def test_a_rank_is_the_same_number_in_a_row_and_in_the_queue(api: Api) -> None:
    """SQLite writes 15 digits into JSON."""
    jobs = [jobs_of(api, BOOTSTRAP, 1, priority=priority)[0] for priority in (0, 1, -7, 999)]
    with api.database.read() as connection:
        from models import queries

        known = {job: rank for rank, job in queries.lines(connection)[BOOTSTRAP].waiting}
        stored = {row.id: row.rank for row in connection.execute(select(Job.id, Job.rank))}
    assert known == stored
    assert set(known) == set(jobs)
