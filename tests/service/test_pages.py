"""Codes have pages, a job has a summary, a definition has a schema."""

import ast
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import jsonschema
import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from models.diagnosis.diagnose import REMAINING, RULES
from models.diagnosis.explained import NAMED_OTHERWISE, meaning_of
from models.diagnosis.finding import Code
from models.lifecycle import error as error_of
from models.states import Status
from models.tables import Job
from service.errors import KNOWN
from service.item_codes import DEFINITIONS, FILES, ITEMS, ROWS, VALUES
from service.problems import EXPLAINED
from service.summary import MOST_BYTES, summary
from tests.service.conftest import HEADERS, SMALL, Api

ROOT = Path(__file__).parents[2]
REFUSES = ("Problem", "refused", "_refused", "refuse", "_refuse_first", "at", "PydanticCustomError")
"""What is called with the code of an error."""
NO_CODES = {"too_many_"}
"""The beginning of some."""
EXAMPLES = sorted((ROOT / "examples").glob("*.json"))


class Links(HTMLParser):
    """Where a page leads, and what it runs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links |= {value or "" for name, value in attrs if name in ("href", "src")}


def test_every_code_that_can_be_answered_is_explained_with_its_status() -> None:
    assert {code: EXPLAINED[code].status for _, code in KNOWN.values()} == {
        code: status for status, code in KNOWN.values()
    }
    named = set()
    for room in ("service", "workers", "models"):
        for file in (ROOT / room).rglob("*.py"):
            text = file.read_text()
            named |= set(re.findall(r'\bproblem\(\s*\d{3},\s*"(\w+)"', text))
            named |= set(re.findall(r'(?<!log\.)\berror\(\s*"(\w+)"', text))
    assert len(named) > 10
    assert named - EXPLAINED.keys() == set()


def test_every_code_of_an_error_is_explained() -> None:
    named = set()
    for room in ("service", "workers", "models"):
        for file in (ROOT / room).rglob("*.py"):
            calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
            for call in calls:
                if (getattr(call.func, "attr", None) or getattr(call.func, "id", None)) in REFUSES:
                    texts = [node.value for node in ast.walk(call) if isinstance(node, ast.Constant)]
                    named |= {text for text in texts if isinstance(text, str) and re.fullmatch(r"[a-z]+_[a-z_]+", text)}
    assert len(named) > 100
    assert named - ITEMS.keys() - NO_CODES == set()


def test_no_code_of_an_error_is_explained_twice() -> None:
    """Of two meanings the page would show the last."""
    assert len(ITEMS) == sum(map(len, (VALUES, DEFINITIONS, FILES, ROWS)))


@pytest.mark.parametrize(
    ("code", "kind"), [("worker_lost", "problems"), ("dead_at_init", "findings"), ("unknown_category", "errors")]
)
def test_the_error_of_a_job_leads_to_the_page_of_its_code(api: Api, code: str, kind: str) -> None:
    job = api.post().json["id"]
    problem = error_of(code, "A title", "A detail.", "user", retryable=False)
    with api.database.write() as connection:
        connection.execute(update(Job).where(Job.id == job).values(status=Status.FAILED, error=problem))
    told = api.get(f"/{job}").json["error"]
    assert told == {"type": f"/docs/{kind}/{code}"} | problem
    assert code in api.client.get(told["type"]).text


def test_a_database_that_is_busy_is_not_said_to_be_away(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for error, code in ((PoolTimeout(), "database_busy"), (OperationalError("", {}, Exception()), "database_away")):
        monkeypatch.setattr(api.database, "read", Mock(side_effect=error))
        reply = api.client.get("/v1/usage", headers=HEADERS)
        assert (reply.status_code, reply.json["code"]) == (503, code)
        assert reply.json["detail"] == EXPLAINED[code].meaning


def test_the_type_of_a_problem_leads_to_its_page_without_a_key(api: Api) -> None:
    problems = [
        api.post(network=1), api.read("/v1/nothing"), api.client.get("/v1/jobs"), api.read("/v1/jobs?limit=0"),
        api.client.put("/v1/jobs", headers=HEADERS), api.client.post("/v1/jobs", data="x", headers=HEADERS),
    ]  # fmt: skip
    assert {problem.status_code for problem in problems} == {401, 404, 405, 415, 422}
    for problem in problems:
        page = api.client.get(problem.json["type"])
        assert page.status_code == 200
        assert problem.json["code"] in page.text
        assert f"HTTP status {problem.status_code}" in page.text


def test_there_is_a_page_for_each_code_and_all_links_lead_somewhere(api: Api) -> None:
    for kind, codes in (("problems", EXPLAINED), ("findings", list(Code)), ("errors", ITEMS)):
        index = Links(api.client.get(f"/docs/{kind}").text)
        assert {f"/docs/{kind}/{code}" for code in codes} <= index.links
        for link in index.links:
            page = api.client.get(link, follow_redirects=True)
            assert page.status_code == 200, link
        found = Links(api.client.get(f"/docs/{kind}/{next(iter(codes))}").text)
        assert not (index.tags | found.tags) & {"script", "style"}
        assert not (index.attributes | found.attributes) & {"style", "onclick", "onload"}
        missing = api.client.get(f"/docs/{kind}/<b>")
        assert (missing.status_code, missing.mimetype) == (404, "application/problem+json")


def test_each_rule_is_told_on_the_page_of_its_finding(api: Api) -> None:
    names = {NAMED_OTHERWISE.get(rule.__name__, rule.__name__) for rule in (*RULES, *REMAINING)}
    assert names == set(Code)
    assert meaning_of(Code.PLATEAU).startswith("The loss does not fall any more")
    assert "Glorot and Bengio 2010" in api.client.get("/docs/findings/saturated").text


def test_the_summary_says_status_verdict_and_error(api: Api) -> None:
    job = api.post(name='a\n"b"\nverdict: healthy').json["id"]
    reply = api.get(f"/{job}/summary")
    assert (reply.status_code, reply.content_type) == (200, "text/plain; charset=utf-8")
    lines = reply.text.splitlines()
    assert lines[0] == f'{job} "a\\n\\"b\\"\\nverdict: healthy"'
    assert lines[1:3] == ["status: queued, epoch 0 of 20, step 0", "verdict so far: unknown"]
    assert reply.headers["ETag"] == api.get(f"/{job}").headers["ETag"]
    api.ask(job, "cancel")
    assert "status: cancelled (a client cancelled it)" in api.get(f"/{job}/summary").text
    assert api.get(f"/job_{'0' * 26}/summary").status_code == 404


def test_the_summary_has_at_most_2_kb_whatever_it_is_told() -> None:
    text = "é" * 5000
    remedy = {"id": "relu_he", "patch": [{"path": "/network", "value": text}], "expected": text}
    finding = {"code": "vanishing_depth", "severity": "fault", "explanation": text, "remedies": [remedy]}
    job: dict[str, Any] = {
        "id": "job_1", "name": text, "status": "failed", "status_reason": text,
        "progress": {"epoch": 1, "epochs": 2, "step": 3}, "error": {"code": "nonfinite", "detail": text},
        "best": {"epoch": 1, "train_loss": 1.0}, "metrics": {"epoch": 2, "train_loss": None},
        "links": {"repairs": "/r", "diagnosis": "/d"},
    }  # fmt: skip
    said = {"complete": True, "verdict": "unhealthy", "findings": [finding] * 20}
    told = summary(job, said)
    assert len(told.encode()) <= MOST_BYTES
    shorter = summary(job | {"status_reason": ""}, said | {"findings": [finding | {"remedies": []}] * 2})
    for line in ("best epoch: 1: train_loss 1\n", "last epoch: 2: train_loss null\n", "verdict: unhealthy\n"):
        assert line in shorter
    assert "also: vanishing_depth (fault)\n" in shorter


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_schema_takes_what_can_be_posted_and_nothing_else(api: Api, path: Path) -> None:
    schema = api.read("/v1/schema/job").json
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    validator.validate(json.loads(path.read_text()))
    for wrong in ({"network": {}}, SMALL | {"colour": 1}, SMALL | {"priority": "1"}):
        assert not validator.is_valid(wrong)
