"""Names, pages and headers: what a browser may do here."""

import re
import socket
from pathlib import Path
from urllib.parse import urljoin

import pytest
from flask.testing import FlaskClient

from migrations.migrate import migrate
from models.settings import Settings
from service.app import create_app
from tests.service.conftest import HEADERS

OURS = "api.example.com"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    folder = tmp_path_factory.mktemp("doors")
    migrate(f"sqlite:///{folder}/descent.db")
    return create_app(Settings(data=folder, api_key="k" * 32, hosts=f"{OURS}, other.example.com")).test_client()


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("localhost", True),
        ("LOCALHOST:8700", True),
        ("127.0.0.1:8700", True),
        ("[::1]:8700", True),
        ("10.1.2.3", True),
        (OURS, True),
        (f"{OURS}:443", True),
        (socket.gethostname(), True),
        ("evil.example.com", False),
        (f"{OURS}.evil.com", False),
        (f"evil.com#{OURS}", False),
        (f"{OURS}@evil.com", False),
        ("localhost.evil.com", False),
        ("127.0.0.1.evil.com", False),
        ("[::1", False),
        ("localhost:port", False),
        ("", False),
    ],
)
def test_only_names_of_the_service_are_answered(client: FlaskClient, host: str, is_ours: bool) -> None:
    for path in ("/v1/jobs", "/healthz", "/docs/swagger"):
        reply = client.get(path, headers=HEADERS | {"Host": host})
        assert reply.status_code == (200 if is_ours else 421), reply.text
    if not is_ours:
        assert reply.json["code"] == "wrong_host"  # type: ignore[index]
        assert "DESCENT_HOSTS" in reply.json["detail"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        (None, True),
        ("http://localhost:8700", True),
        (f"https://{OURS}", True),
        ("http://localhost:3000", False),
        ("http://evil.example.com", False),
        ("null", False),
        ("", False),
        ("http://localhost:8700.evil.com", False),
        ("file://localhost:8700", False),
        ("http://[", False),
    ],
)
def test_only_pages_of_the_service_may_change_something(client: FlaskClient, origin: str | None, may: bool) -> None:
    headers = HEADERS | {"Host": "localhost:8700"} | ({} if origin is None else {"Origin": origin})
    for call in (client.post, client.patch, client.delete):
        reply = call("/v1/jobs/job_1", headers=headers)
        assert (reply.status_code == 403, (reply.json or {}).get("code") == "cross_origin") == (not may, not may)
    assert client.get("/v1/jobs", headers=headers).status_code == 200


def test_no_other_page_may_read_an_answer(client: FlaskClient) -> None:
    for method in ("GET", "OPTIONS"):
        reply = client.open("/v1/jobs", method=method, headers=HEADERS | {"Origin": "http://evil.example.com"})
        assert not [name for name in reply.headers.keys() if name.lower().startswith("access-control")]  # noqa: SIM118


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/no", "/healthz", "/openapi.json", "/docs/swagger", "/docs/start.js"])
def test_every_answer_has_the_headers(client: FlaskClient, path: str) -> None:
    for headers in (HEADERS, {}, {"Host": "evil.example.com"}):
        found = client.get(path, headers=headers).headers
        assert found["X-Content-Type-Options"] == "nosniff"
        assert found["Referrer-Policy"] == ("same-origin" if "html" in found["Content-Type"] else "no-referrer")
        assert "frame-ancestors 'none'" in found["Content-Security-Policy"]
        assert "unsafe" not in found["Content-Security-Policy"]


def test_the_docs_page_keeps_to_its_policy(client: FlaskClient) -> None:
    page = client.get("/docs", follow_redirects=True)
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", page.text, re.IGNORECASE)
    linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(linked) == 5
    for url in linked:
        file = client.get(urljoin("/docs/swagger", url), buffered=True)
        assert file.status_code == 200, url
        assert file.mimetype.startswith(("text/javascript", "text/css", "image/svg")), url
    scripts = [client.get(urljoin("/docs/swagger", url), buffered=True).text for url in linked if url.endswith(".js")]
    # A last resort for `this`, which browsers of this century do not come to.
    code = "".join(scripts).replace('Function("return this")', "")
    assert not re.search(r"[^.\w]eval\(|new Function\(", code)
    assert client.get(urljoin("/docs/start.js", "../openapi.json")).status_code == 200


def test_it_listens_on_loopback_unless_told_otherwise() -> None:
    assert Settings().host == "127.0.0.1"


def test_any_name_is_taken_where_that_is_wanted(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path}/descent.db")
    client = create_app(Settings(data=tmp_path, api_key="k" * 32, hosts="*")).test_client()
    assert client.get("/healthz", headers={"Host": "any.example.com"}).status_code == 200
