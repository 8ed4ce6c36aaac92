"""Whatever is sent as a definition is accepted or refused with its place; `make fuzz` sends more, to a real process."""

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings

from migrations.migrate import migrate
from models.errors import InvalidDefinition
from models.json_body import parse
from tests.fuzzing import SMALL, Body, bodies, judge, written
from tests.service.conftest import HEADERS, Api


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Api:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    url = f"sqlite:///{folder / 'descent.db'}"
    migrate(url)
    return Api(url, folder)


def test_a_huge_name_over_many_values_takes_no_memory() -> None:
    """A pointer for each of the values would take 40 GB."""
    body = written(SMALL | {"a" * 400_000: [0] * 100_000 + ["\0"] * 1000})
    tracemalloc.start()
    with pytest.raises(InvalidDefinition) as refused:
        parse(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused.value.problems[0].code == "nul_character"
    assert peak < 100e6


def test_the_answer_to_a_huge_name_is_small(api: Api) -> None:
    """It stands in the pointer of a hundred problems."""
    policies = {"a" * 900_000: {str(index): 1 for index in range(200)}}
    for body in (SMALL | policies, SMALL | {"network": policies}, SMALL | {"policies": policies}):
        reply = api.client.post("/v1/jobs", json=body, headers=HEADERS)
        assert reply.status_code == 422
        assert len(reply.text) < 200_000


@pytest.mark.parametrize(("path", "accepted"), [("/v1/jobs", 202), ("/v1/estimates", 200)])
def test_every_body_is_accepted_or_refused_with_its_place(api: Api, path: str, accepted: int) -> None:
    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(body=bodies)
    @example(body=Body(written(SMALL)))
    @example(body=Body(written(SMALL | {"priority": 10**500})))
    def send(body: Body) -> None:
        reply = api.client.post(path, data=body.content, headers=HEADERS | {"Content-Type": "application/json"})
        judge(reply, reply.mimetype, accepted)
        if reply.status_code == 202:
            job = reply.json["id"]
            api.ask(job, "cancel")
            assert api.delete(job).status_code == 204

    send()
