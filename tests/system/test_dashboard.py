"""The dashboard in a real browser: from signing in to a repair beside its parent, and what a page says when things go
wrong."""

import io
import json
import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from tests.system.browser import Watched, a_browser, a_page
from tests.system.stack import KEY, Stack

ODD_NAME = '<b onclick="alert(1)">bold</b> 🦊 "quoted" & more'
PAGES = ("/", "/jobs/new", "/datasets", "/datasets/iris", "/workers", "/keys")
SIZES = {"phone": (390, 844), "tablet": (1024, 768), "screen": (1920, 1080)}
AWAY = r"ERR_CONNECTION|status of 50\d|Failed to fetch"
SICK: dict[str, Any] = {
    "network": {"family": "dnn", "hidden": [32] * 12, "activation": "sigmoid"},
    "data": {"dataset": "digits"},
    "training": {"epochs": 6},
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with a_browser() as browser:
        yield browser


@pytest.fixture
def visitor(browser: Any, embedded: Stack) -> Iterator[Watched]:
    """Signed in."""
    with a_page(browser, embedded.url) as watched:
        watched.sign_in(KEY)
        yield watched


def colours_of(watched: Watched, selector: str) -> list[list[tuple[int, ...]]]:
    """The pixels of the map itself, row by row: without names, scale and steps beside it."""
    picture = Image.open(io.BytesIO(watched.page.locator(selector).screenshot())).convert("RGB")
    width, height = picture.size
    left, right = round(width * 0.15), round(width * 0.4)
    return [[picture.getpixel((x, y)) for x in range(left, right, 8)] for y in range(30, height - 40, 4)]  # type: ignore[misc]


def test_from_signing_in_to_a_repair_beside_its_parent(browser: Any, embedded: Stack) -> None:  # noqa: PLR0915
    """One visit, as a person would make it."""
    with a_page(browser, embedded.url) as watched:
        page = watched.page
        watched.goto("/jobs/new")
        assert "/sign-in" in page.url
        watched.audit()
        page.fill("#key", KEY)
        page.keyboard.press("Enter")
        page.wait_for_url("**/jobs/new")

        # A job from the form
        page.select_option("#start", label="twelve sigmoid layers, which do not learn")
        page.wait_for_selector("#said .warned")
        assert "pass on" in page.inner_text("#said")
        watched.audit()
        definition = json.loads(page.input_value("#editor"))
        definition["network"]["hidden"] = [32] * 20
        definition["training"]["epochs"] = 70
        # With numbers of each step it lasts until it was seen.
        definition["gradients"] = definition.get("gradients", {}) | {"every_steps": 1}
        page.fill("#editor", json.dumps(definition))
        page.click("#submit")
        page.wait_for_url(re.compile(r"/jobs/job_"))
        sick = page.url.rsplit("/", 1)[1]

        # It moves, and nothing is loaded anew
        page.evaluate("window.kept = true")
        page.wait_for_selector("#head .status-running")
        watched.until("parseFloat(document.querySelector('#progress progress').value) > 0")
        first = page.evaluate("document.querySelector('#progress progress').value")
        watched.until(f"document.querySelector('#progress progress').value > {first}")
        page.wait_for_selector("#head .status-succeeded", timeout=100_000)
        assert page.evaluate("window.kept")

        # The diagnosis comes first, and its evidence is in the map
        page.wait_for_selector("#finding-vanishing_depth")
        assert "sigmoid layer passes on" in page.inner_text("#finding-vanishing_depth .cause")
        page.wait_for_selector("#heat canvas")
        with page.expect_response(lambda reply: "statistic=gradient_rms" in reply.url):
            page.select_option("#statistic", "gradient_rms")
        page.wait_for_timeout(200)
        rows = colours_of(watched, "#heat canvas")
        assert len({pixel for row in rows for pixel in row}) > 8
        light = [sum(map(sum, row)) / len(row) for row in rows]
        assert light[-1] > 2 * light[0], "the gradient of the first layers is dark, that of the last ones bright"
        page.locator("#heat .plot").focus()
        page.keyboard.press("ArrowRight")
        assert re.match(r"step \d+, layer hidden_\d+: \d", page.inner_text("#heat .says"))
        watched.audit()

        # Zoomed in one chart, all are
        page.locator("#loss .plot").focus()
        with page.expect_response(lambda reply: "statistic=gradient_rms" in reply.url and "from_step=" in reply.url):
            page.keyboard.press("+")
        page.wait_for_selector("#reset:not([disabled])")
        page.click("#reset")

        # A repair, beside its parent
        page.locator("#finding-vanishing_depth .remedy button.main").first.click()
        page.wait_for_url(re.compile(rf"/compare\?jobs={sick},job_"))
        page.wait_for_selector(".beside .verdict-healthy", timeout=60_000)
        assert "network.activation" in page.inner_text("#differences-title + .scroll")
        assert "at step 0" in page.inner_text("#parted-title + ul")
        page.wait_for_selector("#curves path.series-1")
        watched.audit()

        # Its files
        page.click(".beside thead th:last-child a")
        page.wait_for_selector("a[download][href$='model.onnx']")
        with page.expect_download() as download:
            page.click("a[download][href$='weights.safetensors']")
        assert os.path.getsize(download.value.path()) > 1000  # noqa: PTH202
        watched.audit()

        page.click("text=Sign out")
        page.wait_for_url("**/sign-in")
        watched.goto("/")
        assert "/sign-in" in page.url


def test_pages_fit_every_width_in_both_colours_and_everybody_can_use_them(visitor: Watched) -> None:
    for scheme in ("light", "dark"):
        visitor.page.emulate_media(color_scheme=scheme)
        for path in PAGES:
            visitor.page.set_viewport_size({"width": 390, "height": 844})
            visitor.goto(path)
            visitor.audit()
            for width, height in SIZES.values():
                visitor.page.set_viewport_size({"width": width, "height": height})
                assert not visitor.overflows(), (path, width)


def test_the_longest_name_and_tag_fit_a_phone(visitor: Watched, embedded: Stack) -> None:
    longest = {"name": "W" * 200, "tags": ["x" * 64], "data": {"dataset": "iris"}, "training": {"epochs": 2}}
    jobs = [embedded.train(longest | {"network": {"family": "dnn", "hidden": [4] * n}})["id"] for n in (1, 2)]
    visitor.page.set_viewport_size({"width": 390, "height": 844})
    for path in (f"/compare?jobs={','.join(jobs)}", f"/jobs/{jobs[0]}", "/"):
        visitor.goto(path)
        if "compare" in path:
            visitor.page.wait_for_selector("#curves svg")
        assert not visitor.overflows(), path


@pytest.mark.long
def test_what_is_odd_is_shown_as_it_is(visitor: Watched, embedded: Stack) -> None:
    waiting = embedded.post(SICK | {"name": ODD_NAME, "resources": {"device": "cpu"}, "training": {"epochs": 100_000}})
    page = visitor.page
    visitor.goto(f"/jobs/{waiting}")
    assert ODD_NAME in page.inner_text("h1")
    page.wait_for_selector("#loss .message, #loss svg")
    behind = embedded.post(SICK | {"name": "behind"})
    visitor.goto(f"/jobs/{behind}")
    page.wait_for_selector("#loss .message:has-text('waits at place')")
    assert "needs some steps" in page.inner_text("#diagnosis")

    # Under an open page it is cancelled, then deleted
    embedded.cancel(waiting, "force")
    embedded.cancel(behind, "force")
    page.wait_for_selector("#head .status-cancelled")
    embedded.follow(waiting)
    visitor.allow("status of 404")
    assert embedded.client.delete(f"/v1/jobs/{behind}").status_code == 204
    page.wait_for_selector("#notice:has-text('deleted')")
    visitor.goto(f"/jobs/{behind}")
    assert "may have been deleted" in page.inner_text("main")


@pytest.mark.long
def test_an_open_page_outlives_the_service(visitor: Watched, embedded: Stack, slow: dict[str, Any]) -> None:
    job = embedded.post(slow)
    page = visitor.page
    visitor.goto(f"/jobs/{job}")
    page.wait_for_selector("#head .status-running")
    page.wait_for_selector("#loss svg")
    visitor.allow(AWAY)
    page.evaluate("window.kept = true")
    for pid in embedded.processes("service.serve"):
        os.kill(pid, signal.SIGKILL)
    page.wait_for_selector("#notice:has-text('does not answer')")
    visitor.until("document.getElementById('notice').textContent === ''")
    step = page.inner_text("#ticker")
    visitor.until(f"document.getElementById('ticker').textContent !== {step!r}")
    assert page.evaluate("window.kept")


def test_a_session_whose_key_is_taken_back_says_so(browser: Any, embedded: Stack) -> None:
    made = embedded.client.post("/v1/keys", json={"name": "for a while", "scopes": ["read", "write"]}).json()
    with a_page(browser, embedded.url) as watched:
        watched.sign_in(made["secret"])
        watched.goto("/workers")
        watched.allow("status of 401")
        assert embedded.client.delete(f"/v1/keys/{made['id']}").status_code == 204
        watched.page.wait_for_selector("#notice:has-text('session has ended')")
        watched.page.click("#notice a")
        watched.page.wait_for_url(re.compile("/sign-in"))


@pytest.mark.long
@pytest.mark.parametrize("layers", [0, 1, 500])
def test_networks_of_any_depth_have_a_page(visitor: Watched, embedded: Stack, layers: int) -> None:
    network = {"family": "dnn", "hidden": [4] * layers}
    done = embedded.train({"network": network, "data": {"dataset": "iris"}, "training": {"epochs": 2}})
    visitor.goto(f"/jobs/{done['id']}")
    visitor.page.wait_for_selector("#heat canvas")
    visitor.page.wait_for_selector("#loss svg")
    assert visitor.page.locator("#network .layer").count() >= layers + 1
    visitor.audit()
    assert not visitor.overflows()


@pytest.mark.long
def test_numbers_that_are_not_finite_are_shown_as_what_they_are(visitor: Watched, embedded: Stack) -> None:
    sick = SICK | {
        "network": {"family": "dnn", "hidden": [64] * 8, "init": {"kind": "normal", "std": 1e6}},
        "policies": {"nonfinite": "continue"},
    }
    done = embedded.train(sick)
    visitor.goto(f"/jobs/{done['id']}")
    visitor.page.wait_for_selector("#heat canvas, #heat .message")
    visitor.page.wait_for_selector("#loss svg, #loss .message:has-text('finite')")
    visitor.audit()


@pytest.mark.long
def test_a_data_set_is_uploaded_looked_at_and_trained_on(visitor: Watched, embedded: Stack, tmp_path: Any) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(
        "a,b,label\n" + "".join(f"{index},{index % 7},{'yes' if index % 2 else 'no'}\n" for index in range(200))
    )
    page = visitor.page
    visitor.goto("/datasets")
    page.set_input_files("input[type=file]", str(file))
    page.fill("#upload [name=target]", "label")
    page.click("#upload button")
    page.wait_for_url(re.compile("/datasets/dat_"))
    page.wait_for_selector("svg.bars rect")
    visitor.audit()
    visitor.goto("/datasets")
    page.click("#mine tbody a >> nth=0")
    page.click("text=Train on it")
    page.wait_for_selector("#said:has-text('can be trained')")
    page.click("#submit")
    page.wait_for_selector("#head .status-succeeded", timeout=100_000)
    page.fill("#predict [name=a]", "3")
    page.fill("#predict [name=b]", "4")
    page.click("#predict button")
    page.wait_for_selector("#predicted:has-text('It says')")


@pytest.mark.long
def test_many_jobs_are_cancelled_together_and_keys_made_by_hand(visitor: Watched, embedded: Stack) -> None:
    jobs = [embedded.post(SICK | {"name": f"many {index}", "training": {"epochs": 100_000}}) for index in range(4)]
    page = visitor.page
    visitor.goto("/?name=many")
    for box in page.locator("input[name=job]").all():
        box.check()
    page.click("#cancel")
    visitor.until("document.querySelectorAll('.status-cancelled').length === 4")
    assert {embedded.follow(job)["status"] for job in jobs} == {"cancelled"}
    visitor.goto("/keys")
    page.fill("#make [name=name]", ODD_NAME)
    page.click("#make button")
    page.wait_for_selector("#secret code:has-text('dsc_')")
    row = page.locator("tbody tr", has_text=ODD_NAME)
    row.locator("button").click()
    row.wait_for(state="detached")
