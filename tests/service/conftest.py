"""The API in this process, as a client sees it."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from models.database import Database
from models.keys import BOOTSTRAP
from models.settings import Settings
from models.storage import Storage
from service.app import create_app
from service.known_keys import NOTES
from tests.receiver import Receiver
from tests.statements import statements

HEADERS = {"Authorization": f"Bearer {'k' * 32}"}
SMALL: dict[str, Any] = {"network": {"family": "dnn", "hidden": [4]}, "data": {"dataset": "xor"}}


class Api:
    """The API, and the statements of its last GET."""

    def __init__(self, database_url: str, folder: Path, **settings: Any) -> None:
        chosen = Settings(data=folder, database_url=database_url, api_key="k" * 32, queued_jobs=150, **settings)
        app = create_app(chosen)
        self.folder = folder
        self.client: FlaskClient = app.test_client()
        self.database: Database = app.extensions["descent"].database
        self.storage: Storage = app.extensions["descent"].storage
        self.bells: list[None] = []
        app.extensions["descent"].doorbell.ring = lambda: self.bells.append(None)
        self.statements: list[str] = []
        self.headers = dict(HEADERS)

    def a_key(self, *scopes: str, **more: Any) -> dict[str, str]:
        """The header of a new key, by default one that reads and writes."""
        body = {"name": "a key", "scopes": list(scopes or ("read", "write"))} | more
        reply = self.client.post("/v1/keys", json=body, headers=HEADERS)
        return {"Authorization": f"Bearer {reply.json['secret']}"}

    def be_no_admin(self) -> None:
        """From now on it calls with a key that sees no more than its own."""
        self.headers = self.a_key(owner=BOOTSTRAP)

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.read(f"/v1/jobs{path}", **headers)

    def read(self, path: str, **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with statements(self.database) as self.statements:
            return self.client.get(path, headers=self.headers | named)

    def post(self, **changes: Any) -> TestResponse:
        return self.client.post("/v1/jobs", json=SMALL | changes, headers=self.headers)

    def ask(self, job_id: str, call: str, body: Any = None) -> TestResponse:
        """A POST to a call of a job."""
        given = {} if body is None else {"json": body}
        return self.client.post(f"/v1/jobs/{job_id}/{call}", headers=self.headers, **given)

    def delete(self, job_id: str) -> TestResponse:
        return self.client.delete(f"/v1/jobs/{job_id}", headers=self.headers)

    def close(self) -> None:
        for thread in threading.enumerate():
            if thread.name == NOTES:
                thread.join()
        self.database.close()

    def position(self, job_id: str) -> int:
        return int(self.get(f"/{job_id}").json["queue"]["position"])


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[Api]:
    api = Api(database_url, tmp_path)
    yield api
    api.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Of webhooks."""
    with Receiver() as receiver:
        yield receiver
