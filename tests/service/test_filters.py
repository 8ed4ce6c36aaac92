"""Lists by what jobs are: each filter alone and together, before paging, on both databases."""

from sqlalchemy import delete, update

from models.filters import Threshold
from models.ids import bound, new_id
from models.recording import record
from models.tables import Event, Job
from tests.models.test_repairs import ended
from tests.service.conftest import HEADERS, Api
from tests.service.test_moves import run


def listed(api: Api, **wanted: str) -> list[str]:
    reply = api.client.get("/v1/jobs", query_string=wanted, headers={"Authorization": f"Bearer {'k' * 32}"})
    assert reply.status_code == 200, reply.text
    assert reply.json is not None
    return [item["name"] for item in reply.json["items"]]


def end(api: Api, skill: float | None) -> None:
    mine = run(api)
    with api.database.write() as connection:
        record(connection, mine, ended(skill), 0.0)


def test_jobs_are_listed_by_what_they_are(api: Api) -> None:
    api.post(name="100% Plain", tags=["a", "ab"])
    api.post(name="under_score", tags=[])
    api.post(name="back\\slash", tags=["'\"%"], data={"dataset": "iris"})
    api.post(name="recurrent", network={"family": "rnn", "hidden": 4}, data={"dataset": "sine"})
    assert listed(api, family="rnn") == ["recurrent"]
    assert listed(api, dataset="iris") == ["back\\slash"]
    assert listed(api, dataset="none") == []
    assert (listed(api, tag="a"), listed(api, tag="b"), listed(api, tag="'\"%")) == (
        ["100% Plain"],
        [],
        ["back\\slash"],
    )
    names = {
        "plain": "100% Plain",
        "0% P": "100% Plain",
        "_": "under_score",
        "\\": "back\\slash",
        "UNDER": "under_score",
    }
    for part, name in names.items():
        assert listed(api, name=part) == [name], part
    assert listed(api, name="%x%") == []
    assert listed(api, family="dnn", name="s") == ["back\\slash", "under_score"]
    first = api.client.get("/v1/jobs?family=dnn&limit=1", headers={"Authorization": f"Bearer {'k' * 32}"}).json
    assert first is not None
    assert listed(api, family="dnn", after=first["next"], limit="1") == ["under_score"]


def test_jobs_are_listed_by_when_they_were_made(api: Api) -> None:
    ids = {name: api.post(name=name).json["id"] for name in ("old", "new")}
    with api.database.write() as connection:
        for name, at in (("old", 1_000_000_000.25), ("new", 1_000_000_010.0)):
            # As a job of that time would have; ids sort by it.
            values = {"created_at": at, "id": bound("job", at)}
            connection.execute(delete(Event).where(Event.job_id == ids[name]))
            connection.execute(update(Job).where(Job.id == ids[name]).values(values))
    assert listed(api, created_before="2001-09-09T01:46:45Z") == ["old"]
    assert listed(api, created_before="2001-09-09T03:46:45.5+02:00") == ["old"]
    assert listed(api, created_before="2001-09-09T01:46:40.25Z") == []
    assert listed(api, created_after="2001-09-09T01:46:40.25Z") == ["new", "old"]
    assert listed(api, created_after="2001-09-09T01:46:50Z") == ["new"]
    assert listed(api, created_after="2001-09-09T01:46:40.250Z", created_before="2001-09-09T01:46:50Z") == ["old"]
    assert listed(api, created_after="9999-12-31T23:59:59Z") == listed(api, created_before="0001-01-01T00:00:00Z") == []


def test_ids_are_bounded_by_time() -> None:
    assert bound("job", 0) == "job_" + "0" * 26
    assert bound("job", -1e20) < bound("job", 1.7e9) < new_id("job") < bound("job", 1e10) < bound("job", 1e30)


METRICS = {
    "validation_skill<0.5": ["low"],
    "validation_skill<=0.25": ["low"],
    "validation_skill<0.25": [],
    "validation_skill>=0.75": ["high"],
    "validation_skill>0.75": [],
    "validation_skill>-1e3": ["high", "low"],
    "validation_skill<1e+3": ["high", "low"],
    "validation_loss<1": [],
    "skill>0": ["none", "nan", "high", "low"],
}


def test_jobs_are_listed_by_a_metric_of_their_best_epoch(api: Api) -> None:
    for name, skill in (("low", 0.25), ("high", 0.75), ("nan", float("nan")), ("none", None)):
        api.post(name=name)
        end(api, skill)
    api.post(name="waits")
    for metric, names in METRICS.items():
        assert listed(api, metric=metric) == names, metric
    assert listed(api, metric="skill>0", name="i", status="succeeded") == ["high"]


WRONG = [
    *(
        ("family", "gan"),
        ("tag", ""),
        ("tag", "a\0"),
        ("tag", "x" * 300),
        ("dataset", "a\n"),
        ("name", ""),
        ("name", "\0"),
    ),
    *(
        ("metric", text)
        for text in ("validation_loss", "loss<1", "<1", "skill<", "skill<nan", "skill<1e999", "skill=1")
    ),
    *(
        ("metric", text)
        for text in ("skill<1;drop", "skill<inf", 'skill"<1', "skill<" + "1" * 100, "owner<1", "skill<\u0661")
    ),
    *(("created_after", text) for text in ("yesterday", "1700000000", "2026-01-01", "2026-13-01T00:00:00Z")),
    *(
        ("created_before", text)
        for text in ("", "2026-01-01T00:00:00", "0000-01-01T00:00:00Z", "2026-01-01T00:00:00+99:00")
    ),
]


def test_a_wrong_value_is_refused_with_its_name(api: Api) -> None:
    for name, value in WRONG:
        headers = {"Authorization": f"Bearer {'k' * 32}"}
        reply = api.client.get("/v1/jobs", query_string={name: value}, headers=headers)
        assert (reply.status_code, reply.json["errors"][0]["pointer"]) == (422, f"/{name}"), value  # type: ignore[index]
        assert not reply.json["errors"][0]["detail"].startswith(("Value error", "Input")), value  # type: ignore[index]


def test_a_threshold_is_read() -> None:
    assert Threshold.read("validation_loss<=-1.5e-3") == Threshold("validation_loss", "<=", -0.0015)


def test_jobs_are_listed_newest_or_oldest_first_page_by_page(api: Api) -> None:
    for name in "abcde":
        api.post(name=name)
    assert listed(api) == listed(api, sort="-created_at") == list("edcba")
    seen, after = [], {}
    while True:
        page = api.client.get(
            "/v1/jobs", query_string={"sort": "created_at", "limit": "2"} | after, headers=HEADERS
        ).json
        assert page is not None
        seen += [item["name"] for item in page["items"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
        # What is submitted meanwhile neither shifts nor repeats anything.
        if len(seen) == 2:
            api.post(name="f")
    assert seen == list("abcdef")
    refused = api.client.get("/v1/jobs?sort=name", headers=HEADERS)
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, "/sort")
