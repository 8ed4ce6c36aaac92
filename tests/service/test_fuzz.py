"""Whatever is sent as a definition is accepted or refused with its place; `make fuzz` sends more, to a real process."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings

from migrations.migrate import migrate
from tests.fuzzing import SMALL, Body, bodies, judge, written
from tests.service.conftest import HEADERS, Api


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Api:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    url = f"sqlite:///{folder / 'descent.db'}"
    migrate(url)
    return Api(url, folder)


@pytest.mark.parametrize(("path", "accepted"), [("/v1/jobs", 202), ("/v1/estimates", 200)])
def test_every_body_is_accepted_or_refused_with_its_place(api: Api, path: str, accepted: int) -> None:
    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(body=bodies)
    @example(body=Body(written(SMALL)))
    @example(body=Body(written(SMALL | {"priority": 10**500})))
    def send(body: bytes) -> None:
        reply = api.client.post(path, data=body, headers=HEADERS | {"Content-Type": "application/json"})
        judge(reply, reply.mimetype, accepted)
        if reply.status_code == 202:
            job = reply.json["id"]
            api.ask(job, "cancel")
            assert api.delete(job).status_code == 204

    send()
