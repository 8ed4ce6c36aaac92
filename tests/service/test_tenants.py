"""An owner's jobs and data sets are nowhere to be seen by others: what is not yours is not there."""

import re
from typing import Any

import pytest
from sqlalchemy import insert, update
from werkzeug.test import TestResponse

from models import outbox, tasks, webhooks
from models.database import database_now
from models.ids import new_id
from models.states import Status, Verdict
from models.tables import Dataset, Finding, Job
from models.tasks import Kind
from tests.service.conftest import HEADERS, SMALL, Api

BODIES: dict[str, Any] = {
    "/clones": {"patch": []},
    "/evaluations": {"dataset": "xor"},
    "/predictions": {"inputs": [[0, 1]]},
    "/v1/datasets/{name}": {"name": "taken"},
}
LISTS = (
    *("/v1/jobs", "/v1/jobs?status=failed", "/v1/jobs?verdict=unhealthy", "/v1/jobs?finding=plateau"),
    *("/v1/queue", "/v1/webhooks"),
)
NOT_OWNED = ("/v1/keys/", "/v1/textbook/")
"""Ids that are nobody's: of keys, which are for admins, and of the textbook, which is for all."""


class Someone:
    """An owner with one of everything."""

    def __init__(self, api: Api) -> None:
        self.api, self.headers = api, api.a_key()
        self.owner = api.client.get("/v1/usage", headers=self.headers).json["owner"]
        posted = api.client.post("/v1/jobs", json=SMALL, headers=self.headers)
        self.job, self.dataset = posted.json["id"], new_id("dat")
        self.failed = api.client.post("/v1/jobs", json=SMALL, headers=self.headers).json["id"]
        with api.database.write() as connection:
            self.tasks = {kind: tasks.create(connection, self.job, kind, {"upload": None}) for kind in Kind}
            failed = {"status": Status.FAILED, "verdict": Verdict.UNHEALTHY}
            connection.execute(update(Job).where(Job.id == self.failed).values(failed))
            finding = {"place": 0, "code": "plateau", "severity": "fault", "data": {}}
            connection.execute(insert(Finding).values(finding | {"job_id": self.failed, "owner": self.owner}))
            connection.execute(insert(Dataset).values(a_dataset(self.dataset, self.owner)))
            hook, _ = webhooks.create(connection, self.owner, "", "https://example.com/", ["job.failed"])
            self.webhook, self.delivery = str(hook.id), outbox.ping(connection, hook)

    def url(self, path: str) -> str:
        """A path of the contract with this owner's ids."""
        kind = Kind.PREDICTION if "predictions" in path else Kind.EVALUATION
        ids = {"job_id": self.job, "task_id": self.tasks[kind]}
        ids |= {"webhook_id": self.webhook, "delivery_id": self.delivery}
        ids["picture"] = "loss.svg"
        ids["name"] = self.dataset if "datasets" in path else "weights.safetensors"
        return path.format(**ids)

    def ask(self, method: str, path: str, of: "Someone") -> TestResponse:
        body = next((body for end, body in BODIES.items() if path.endswith(end)), {})
        sent = {} if method in ("get", "delete") else {"json": body}
        return self.api.client.open(of.url(path), method=method.upper(), headers=self.headers, **sent)


def a_dataset(dataset_id: str, owner: str) -> dict[str, Any]:
    file = {"format": "csv", "size": 10, "sha256": "", "fingerprint": dataset_id, "options": {}}
    return file | {
        "id": dataset_id,
        "owner": owner,
        "name": "mine",
        "status": "ingesting",
        "created_at": database_now(),
    }


def calls_with_ids(api: Api) -> list[tuple[str, str]]:
    paths = api.client.get("/openapi.json").json["paths"]
    return [
        (method, path)
        for path, item in paths.items()
        for method in item
        if "{" in path and not path.startswith(NOT_OWNED)
    ]


def test_of_every_call_in_the_contract_an_id_of_another_is_a_404_like_one_of_nobody(api: Api) -> None:
    mine, other, nobody = Someone(api), Someone(api), Someone(api)
    nobody.job, nobody.dataset = f"job_{'0' * 26}", f"dat_{'0' * 26}"
    nobody.tasks = dict.fromkeys(Kind, f"evl_{'0' * 26}")
    nobody.webhook, nobody.delivery = f"whk_{'0' * 26}", f"dlv_{'0' * 26}"
    calls = calls_with_ids(api)
    assert len(calls) > 20
    for method, path in calls:
        refused, unknown = mine.ask(method, path, other), mine.ask(method, path, nobody)
        assert refused.status_code == unknown.status_code == 404, (method, path, refused.text)
        assert _without_ids(refused) == _without_ids(unknown), (method, path)
    # What takes things away comes last, and of that the job.
    for method, path in sorted(calls, key=lambda call: (call[0] == "delete", -len(call[1]))):
        own = other.ask(method, path, other)
        assert "There is no" not in own.text or "weights" in own.text, (method, path, own.text)


def _without_ids(reply: TestResponse) -> str:
    return re.sub(r"[a-z]{3}_[0-9a-z]{26}", "ID", reply.json["detail"])


def test_lists_show_what_is_ones_own_and_admins_all(api: Api) -> None:
    mine, other = Someone(api), Someone(api)
    for path in (*LISTS, "/v1/datasets?builtin=false"):
        ids = {owner: _ids(api, path, owner.headers) for owner in (mine, other)}
        assert ids[mine]
        assert ids[other]
        assert not ids[mine] & ids[other], path
        assert _ids(api, path, HEADERS) == ids[mine] | ids[other], path


def _ids(api: Api, path: str, headers: dict[str, str]) -> set[str]:
    return {item["id"] for item in api.client.get(path, headers=headers).json["items"]}


def test_an_admin_sees_and_moves_the_job_of_another_which_stays_that_ones(api: Api) -> None:
    other = Someone(api)
    assert api.get(f"/{other.job}").status_code == 200
    assert api.ask(other.job, "pause").status_code == 202
    for job, call, body in ((other.failed, "retry", {}), (other.job, "clones", {"patch": []})):
        child = api.ask(job, call, body)
        assert child.status_code == 202
        assert api.client.get(f"/v1/jobs/{child.json['id']}", headers=other.headers).status_code == 200


def test_a_job_names_data_sets_of_its_owner_alone(api: Api) -> None:
    mine, other = Someone(api), Someone(api)
    body = SMALL | {"data": {"dataset": other.dataset}}
    unknown = SMALL | {"data": {"dataset": f"dat_{'0' * 26}"}}
    for path in ("/v1/jobs", "/v1/estimates"):
        for headers in (mine.headers, HEADERS):
            refused, nobody = (api.client.post(path, json=json, headers=headers) for json in (body, unknown))
            assert (refused.status_code, refused.json["code"]) == (422, "invalid_definition")
            assert _without_ids(refused) == _without_ids(nobody)


@pytest.mark.parametrize("path", ["/v1/workers", "/v1/remedies", "/v1/usage"])
def test_what_tells_of_all_names_no_one(api: Api, path: str) -> None:
    mine, other = Someone(api), Someone(api)
    text = api.client.get(path, headers=mine.headers).text
    assert not {other.job, other.failed, other.dataset, other.owner} & set(re.findall(r"[a-z]{3}_[0-9a-z]{26}", text))
