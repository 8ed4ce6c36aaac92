"""`make pictures`: screenshots of every page from a running service, light and dark, into docs/pictures.

It starts a service of its own and trains a network that learns, one that does not, and its repair. Chromium takes the
pictures; `--look FOLDER` takes each page whole, at three widths, to be looked at.
"""

import argparse
import io
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from examples.demo import DEEP, follow, service
from tests.system.browser import a_browser

HERE = Path(__file__).parent
PICTURES = HERE.parent / "docs" / "pictures"
DATA = HERE.parent / "var" / "pictures"
WIDTHS = (390, 1024, 1920)
SIZE = {"width": 1024, "height": 900}
HEIGHTS = {"job": 1750, "recurrent": 1750, "compare": 1300}
"""Of pages that show the most further down."""
COLOURS = 192
"""Of a picture: they are of few, and small without the others."""
RNN = {
    "name": "copy memory, plain rnn",
    "network": {"family": "rnn", "cell": "rnn", "hidden": 32, "embedding": {"size": 8}},
    "data": {"dataset": "copy_memory", "parameters": {"length": 30, "rows": 2000}},
    "training": {"epochs": 10},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--look", type=Path, metavar="FOLDER", help="whole pages at three widths instead")
    chosen = parser.parse_args()
    # In a folder of its own: pages show these jobs and no older ones.
    with service(DATA / secrets.token_hex(4)) as client, a_browser() as browser:
        pages, origin = prepared(client), str(client.base_url).rstrip("/")
        key = client.headers["Authorization"].removeprefix("Bearer ")
        for scheme in ("light", "dark"):
            with signed_in(browser, origin, key, scheme, chosen.look) as page:
                for name, path in pages.items():
                    page.goto(f"{origin}{path}")
                    settle(page, name)
                    take(page, name, scheme, chosen.look)


def prepared(client: httpx.Client) -> dict[str, str]:
    """Jobs to show, and the path of each page."""
    learned = trained(client, DEEP | {"name": "three relu layers", "network": {"family": "dnn", "hidden": [32] * 3}})
    recurrent = trained(client, RNN)
    sick = trained(client, DEEP)
    child = follow(client, client.post(sick["links"]["repairs"], json={}).raise_for_status().json())
    houses = {"file": ("houses.csv", (HERE / "houses.csv").read_bytes())}
    uploaded = client.post("/v1/datasets", files=houses, data={"target": "price"}).raise_for_status().json()
    client.post("/v1/keys", json={"name": "ci", "scopes": ["read", "write"]}).raise_for_status()
    return {
        "jobs": "/",
        "job": f"/jobs/{sick['id']}",
        "healthy": f"/jobs/{learned['id']}",
        "recurrent": f"/jobs/{recurrent['id']}",
        "compare": f"/compare?jobs={sick['id']},{child['id']}",
        "new-job": f"/jobs/new?from={sick['id']}",
        "datasets": "/datasets",
        "dataset": f"/datasets/{uploaded['id']}",
        "workers": "/workers",
        "keys": "/keys",
    }


def trained(client: httpx.Client, definition: dict[str, Any]) -> dict[str, Any]:
    return follow(client, client.post("/v1/jobs", json=definition).raise_for_status().json())


@contextmanager
def signed_in(browser: Any, origin: str, key: str, scheme: str, look: Path | None) -> Iterator[Any]:
    context = browser.new_context(viewport=SIZE, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{origin}/sign-in")
    take(page, "sign-in", scheme, look)
    page.fill("#key", key)
    page.click("button.main")
    page.wait_for_url("**/")
    yield page
    context.close()


def settle(page: Any, name: str) -> None:
    """Until its charts are drawn."""
    if name in ("job", "healthy", "recurrent"):
        page.wait_for_selector("#heat canvas")
        page.wait_for_selector("#loss svg")
    if name == "compare":
        page.wait_for_selector("#curves svg")
    if name == "new-job":
        page.wait_for_selector("#estimate table")
    page.wait_for_timeout(300)


def take(page: Any, name: str, scheme: str, look: Path | None) -> None:
    if look is None:
        PICTURES.mkdir(exist_ok=True)
        page.set_viewport_size(SIZE | {"height": HEIGHTS.get(name, SIZE["height"])})
        page.wait_for_timeout(200)
        save(page.screenshot(), PICTURES / f"{name}-{scheme}.png")
        page.set_viewport_size(SIZE)
        return
    look.mkdir(parents=True, exist_ok=True)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(200)
        (look / f"{name}-{scheme}-{width}.png").write_bytes(page.screenshot(full_page=True))
    page.set_viewport_size(SIZE)


def save(shot: bytes, path: Path) -> None:
    picture = Image.open(io.BytesIO(shot)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)
    print(f"{path.relative_to(HERE.parent)}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
