"""Pages and sessions, without a browser: who gets in, what a page may do, what it shows of what is odd."""

import io
import re
import time
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.dashboard.changes import changes_of, differences
from service.dashboard.sparklines import path_of, spread
from service.dashboard.trial import trial_of
from service.dashboard.words import duration, number
from tests.service.conftest import HEADERS, SMALL, Api

PAGES = ("/", "/jobs/new", "/datasets", "/datasets/digits", "/workers", "/keys")
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
ODD_NAME = '<img src=x onerror="alert(1)"> 🦊 "quoted" & more'


class Policed(HTMLParser):
    """What of a page its policy would not allow, and what of it nobody can name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.broken: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.broken += [f"<{tag} {name}>" for name in given if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.broken.append(f"<{tag}>")
        self.broken += [
            f"{tag} from {given[name]}" for name in ("src", "href", "action") if is_elsewhere(given.get(name))
        ]
        if given.get("id"):
            self.ids.append(str(given["id"]))


def is_elsewhere(url: str | None) -> bool:
    return bool(url) and bool(re.match(r"(?:[a-z]+:)?//|javascript:|data:", str(url), re.IGNORECASE))


def sign_in(client: FlaskClient, secret: str, **more: Any) -> TestResponse:
    return client.post("/sign-in", data={"key": secret}, **more)


def token_of(page: str) -> str:
    found = re.search(r'name="csrf" content="([0-9a-f]{64})"', page)
    assert found, page
    return found[1]


@pytest.fixture
def browser(api: Api) -> FlaskClient:
    """Signed in with the bootstrap key."""
    assert sign_in(api.client, "k" * 32).status_code == 303
    return api.client


def test_a_page_leads_to_signing_in_and_back(api: Api) -> None:
    reply = api.client.get("/jobs/new?from=x", headers=BROWSER)
    assert (reply.status_code, reply.headers["Location"]) == (303, "/sign-in?next=%2Fjobs%2Fnew%3Ffrom%3Dx")
    form = api.client.get(reply.headers["Location"], headers=BROWSER)
    assert 'value="/jobs/new?from=x"' in form.text
    reply = api.client.post("/sign-in", data={"key": " " + "k" * 32, "next": "/jobs/new?from=x"})
    assert (reply.status_code, reply.headers["Location"]) == (303, "/jobs/new?from=x")
    assert api.client.get("/sign-in?next=/workers", headers=BROWSER).headers["Location"] == "/workers"


def test_a_link_from_elsewhere_comes_again_from_here(api: Api) -> None:
    reply = api.client.get("/workers", headers=BROWSER | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})
    assert reply.status_code == 200
    assert 'content="0; url=/workers"' in reply.text


@pytest.mark.parametrize("target", ["//evil.com", "https://evil.com", "/\\evil.com", "javascript:alert(1)", "", "/\nx"])
def test_signing_in_leads_nowhere_else(api: Api, target: str) -> None:
    assert api.client.post("/sign-in", data={"key": "k" * 32, "next": target}).headers["Location"] == "/"


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites_and_has_no_secret(api: Api) -> None:
    secret = api.a_key()["Authorization"].removeprefix("Bearer ")
    cookie = sign_in(api.client, secret).headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert secret not in cookie
    assert secret[12:] not in cookie
    assert "Secure" in sign_in(api.client, secret, headers={"X-Forwarded-Proto": "https"}).headers["Set-Cookie"]
    assert (
        sign_in(api.client, secret, base_url="http://localhost:1234").headers["Set-Cookie"].startswith("descent_1234=")
    )


def test_a_wrong_key_is_told_so(api: Api) -> None:
    for secret in ("", "wrong", "dsc_" + "a" * 43):
        reply = sign_in(api.client, secret)
        assert (reply.status_code, "no valid key" in reply.text, "Set-Cookie" in reply.headers) == (401, True, False)


def test_a_form_of_another_page_signs_nobody_in_or_out(browser: FlaskClient) -> None:
    for path in ("/sign-in", "/sign-out"):
        reply = browser.post(path, data={"key": "k" * 32}, headers={"Origin": "http://evil.example.com"})
        assert (reply.status_code, reply.json["code"]) == (403, "cross_origin")
    assert browser.get("/", headers=BROWSER).status_code == 200


def test_signing_out_needs_the_token_and_ends_the_session(browser: FlaskClient) -> None:
    page = browser.get("/", headers=BROWSER).text
    assert browser.post("/sign-out").json["code"] == "unconfirmed"
    reply = browser.post("/sign-out", data={"token": token_of(page)})
    assert (reply.status_code, reply.headers["Location"]) == (303, "/sign-in")
    assert browser.get("/", headers=BROWSER).status_code == 303
    assert browser.get("/v1/jobs").status_code == 401


def test_a_session_reads_the_api_and_changes_something_only_with_its_token(browser: FlaskClient) -> None:
    token = token_of(browser.get("/", headers=BROWSER).text)
    assert browser.get("/v1/jobs").status_code == 200
    for wrong in (None, "", "0" * 64, token[:-1], "é"):
        reply = browser.post("/v1/jobs", json=SMALL, headers={} if wrong is None else {"X-CSRF-Token": wrong})
        assert (reply.status_code, reply.json["code"]) == (403, "unconfirmed")
    assert browser.post("/v1/jobs", json=SMALL, headers={"X-CSRF-Token": token}).status_code == 202


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
def test_scripts_of_other_origins_have_no_session(browser: FlaskClient, site: str) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "cors"}
    assert browser.get("/v1/jobs", headers=headers).status_code == 401
    # A link that is followed is no script.
    assert browser.get("/", headers=BROWSER | headers | {"Sec-Fetch-Mode": "navigate"}).status_code == 200


def test_a_key_in_the_header_goes_before_the_session(browser: FlaskClient) -> None:
    assert browser.get("/v1/jobs", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert browser.post("/v1/jobs", json=SMALL, headers=HEADERS).status_code == 202


def test_a_session_ends_with_its_key(api: Api) -> None:
    made = api.client.post("/v1/keys", json={"name": "x", "scopes": ["read"]}, headers=HEADERS).json
    sign_in(api.client, made["secret"])
    page = api.client.get("/", headers=BROWSER)
    assert page.status_code == 200
    assert "New job" not in page.text.split("<main")[1]
    assert api.client.get("/keys", headers=BROWSER).status_code == 403
    token = token_of(page.text)
    assert api.client.post("/v1/jobs", json=SMALL, headers={"X-CSRF-Token": token}).json["code"] == "forbidden"
    assert api.client.delete(f"/v1/keys/{made['id']}", headers=HEADERS).status_code == 204
    assert api.client.get("/v1/jobs").status_code == 401
    assert api.client.get("/", headers=BROWSER).status_code == 303


@pytest.mark.parametrize(
    "change", [lambda text: text[:-2], lambda text: "x" + text, lambda text: "", lambda text: "a.b.c"]
)
def test_a_cookie_that_was_made_up_is_no_session(browser: FlaskClient, change: Any) -> None:
    cookie = browser.get_cookie("descent")
    assert cookie is not None
    browser.set_cookie("descent", change(cookie.value))
    assert browser.get("/v1/jobs").status_code == 401


def test_a_session_lasts_for_a_working_day(browser: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    for later, status in ((11.9 * 3600, 200), (12.1 * 3600, 401)):
        clock = SimpleNamespace(time=lambda later=later: now + later)
        monkeypatch.setattr("itsdangerous.timed.time", clock)
        assert browser.get("/v1/jobs").status_code == status


def test_every_page_keeps_to_its_policy_whatever_a_job_is_called(api: Api, browser: FlaskClient) -> None:
    jobs = [api.post(name=ODD_NAME, tags=[ODD_NAME[:60]]).json["id"] for _ in range(2)]
    for path in (*PAGES, f"/jobs/{jobs[0]}", f"/compare?jobs={jobs[0]},{jobs[1]}", f"/jobs/new?from={jobs[0]}"):
        page = browser.get(path, headers=BROWSER)
        assert page.status_code == 200, path
        assert "unsafe" not in page.headers["Content-Security-Policy"]
        assert page.headers["Cache-Control"] == "no-store"
        assert "<img" not in page.text
        found = Policed(page.text)
        assert not found.broken, path
        assert len(found.ids) == len(set(found.ids)), path


def test_the_reason_of_an_end_is_a_sentence_of_its_own(api: Api, browser: FlaskClient) -> None:
    job = api.post().json["id"]
    assert api.client.post(f"/v1/jobs/{job}/cancel", headers=HEADERS).status_code == 202
    text = browser.get(f"/jobs/{job}", headers=BROWSER).text
    ticker = text[text.index('id="ticker"') :].partition("</p>")[0]
    assert ". A client cancelled it." in ticker


def test_all_files_of_a_page_are_there_compressed_and_for_ever(browser: FlaskClient) -> None:
    text = browser.get("/", headers=BROWSER).text
    files = set(re.findall(r'"(/assets/[^"]+)"', text))
    assert len(files) == 5
    for url in files:
        reply = browser.get(url, headers={"Accept-Encoding": "gzip"})
        assert (reply.status_code, reply.headers["Content-Encoding"]) == (200, "gzip")
        assert "immutable" in reply.headers["Cache-Control"]
        assert not browser.get(url).headers.get("Content-Encoding")
    old = browser.get("/assets/000000000000/style.css")
    assert (old.status_code, old.headers["Location"] in files) == (302, True)
    assert browser.get("/assets/1/../../app.py", headers=BROWSER).status_code == 404
    assert browser.get("/favicon.ico", follow_redirects=True).mimetype == "image/svg+xml"


def test_a_refusal_is_a_page_for_a_browser_and_json_for_all_others(browser: FlaskClient) -> None:
    missing = f"/jobs/job_{'0' * 26}"
    page = browser.get(missing, headers=BROWSER)
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert "may have been deleted" in page.text
    assert browser.get(missing).mimetype == "application/problem+json"
    assert browser.get("/v1/nothing", headers=BROWSER).mimetype == "application/problem+json"
    for path, status in (("/nothing", 404), ("/compare?jobs=a", 422), ("/jobs/<b>", 404), ("/datasets/no", 404)):
        page = browser.get(path, headers=BROWSER)
        assert (page.status_code, page.mimetype) == (status, "text/html"), path
        assert "<b>" not in page.text


def test_an_uploaded_data_set_is_shown_with_its_columns_and_rows(browser: FlaskClient) -> None:
    rows = "size,label\n" + "".join(f"{index},{'ab'[index % 2]}\n" for index in range(30))
    form = {"file": (io.BytesIO(rows.encode()), ODD_NAME), "target": "label"}
    made = browser.post("/v1/datasets", data=form, headers=HEADERS).json
    page = browser.get("/datasets", headers=BROWSER)
    assert (page.status_code, page.text.count(made["id"])) == (200, 2)
    page = browser.get(f"/datasets/{made['id']}", headers=BROWSER)
    assert page.status_code == 200
    assert page.text.count("<rect") > 5
    assert not Policed(page.text).broken


def test_a_wrong_filter_is_told_by_name(browser: FlaskClient) -> None:
    page = browser.get("/?status=nothing&metric=x", headers=BROWSER)
    assert page.status_code == 422
    assert "status: " in page.text
    assert "metric: " in page.text


def test_the_list_goes_on_where_it_ends(api: Api, browser: FlaskClient) -> None:
    for number_ in range(3):
        api.post(name=f"job {number_}")
    first = browser.get("/?limit=2&name=job", headers=BROWSER).text
    assert "job 2" in first
    assert "job 0" not in first
    [following] = re.findall(r'href="(\?[^"]+)" rel="next"', first)
    second = browser.get("/" + following.replace("&amp;", "&"), headers=BROWSER).text
    assert "job 0" in second


def test_what_is_anothers_is_not_there(api: Api, browser: FlaskClient) -> None:
    mine = api.post().json["id"]
    other = api.a_key()["Authorization"].removeprefix("Bearer ")
    sign_in(browser, other)
    assert browser.get(f"/jobs/{mine}", headers=BROWSER).status_code == 404
    assert mine not in browser.get("/", headers=BROWSER).text


def test_numbers_are_written_for_people() -> None:
    assert [number(value) for value in (None, float("nan"), 0, 1.2345, 1e-9, 123456.0, 2.5e7)] == [
        "–", "–", "0", "1.23", "1.00e-09", "123,456", "2.50e+07",
    ]  # fmt: skip
    assert [duration(value) for value in (None, 2.34, 59.6, 61, 3700, 90_000)] == [
        "–", "2.3 s", "60 s", "1 min 1 s", "1 h 1 min", "1 d 1 h",
    ]  # fmt: skip


def test_a_sparkline_has_gaps_and_a_bounded_number_of_points() -> None:
    assert spread(3) == [1, 2, 3]
    assert (spread(1000)[0], spread(1000)[-1], len(spread(1000))) == (1, 1000, 24)
    assert path_of([None, None]) == ""
    assert path_of([1.0, None, 0.1]).count("M") == 2
    assert path_of([-1.0, 1.0]).count("L") == 1


def test_the_difference_of_definitions_names_each_place_once() -> None:
    one = {"network": {"hidden": [32] * 12, "init": "auto"}, "name": "a"}
    other = {"network": {"hidden": [32] * 12, "init": {"kind": "he"}}, "name": "b"}
    assert differences([one, other]) == [("network.init", ["auto", "–"]), ("network.init.kind", ["–", "he"])]
    patch = [{"op": "replace", "path": "/network/hidden", "value": [1, 2]}, {"op": "remove", "path": "/network/init"}]
    assert changes_of(patch, one) == [("network.hidden", "12 × 32", "[1, 2]"), ("network.init", "auto", "–")]


def test_a_row_to_try_has_fields_only_where_they_are_few() -> None:
    def layers(*shape: int) -> Any:
        return [SimpleNamespace(input_shape=list(shape))]

    plain: dict[str, Any] = {"data": {}}
    assert len(trial_of(plain, layers(4))["fields"]) == 4  # type: ignore[index]
    assert trial_of(plain, layers(2, 2)) == {"inputs": [[0, 0], [0, 0]]}
    assert trial_of(plain, layers(3, 224, 224)) is None
    assert trial_of(plain, []) is None
