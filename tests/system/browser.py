"""A real Chromium, headless, and a watch over all that its pages do: no error in the console, nothing against the
policy, no request to another host."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import await_true

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW = "no Chromium: `apt-get install chromium`, or CHROMIUM=its path; with WITHOUT_CHROMIUM=1 the pages stay untested"
WITHOUT = "WITHOUT_CHROMIUM"
"""Set where it cannot be had: then its tests are skipped."""
SERIOUS = ("serious", "critical")


def chromium() -> str:
    """Its path; without one the test fails, by name, unless it cannot be had here."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        (pytest.skip if os.environ.get(WITHOUT) else pytest.fail)(HOW)
    return str(found)


class Watched:
    """A page, and what went wrong in it."""

    def __init__(self, page: Any, origin: str) -> None:
        self.page = page
        self.origin = origin
        self.wrong: list[str] = []
        self.allowed: list[str] = []
        page.on("console", lambda message: self._note(message.type in ("error", "warning"), f"console: {message.text}"))
        page.on("pageerror", lambda error: self._note(True, f"error: {error}"))
        page.on("request", lambda request: self._note(not self._is_here(request.url), f"request: {request.url}"))
        page.on("dialog", lambda dialog: dialog.accept())

    def _note(self, is_wrong: bool, text: str) -> None:
        if is_wrong:
            self.wrong.append(text)

    def _is_here(self, url: str) -> bool:
        return url.startswith((self.origin + "/", f"blob:{self.origin}/", "data:image/", "about:"))

    def allow(self, pattern: str) -> None:
        """What a test brings about on purpose."""
        self.allowed.append(pattern)

    def check(self) -> None:
        unexpected = [text for text in self.wrong if not any(re.search(pattern, text) for pattern in self.allowed)]
        assert not unexpected, unexpected

    def goto(self, path: str) -> None:
        self.page.goto(self.origin + path)

    def sign_in(self, key: str) -> None:
        self.goto("/sign-in")
        self.page.fill("#key", key)
        self.page.click("button.main")
        self.page.wait_for_url(f"{self.origin}/")

    def until(self, expression: str, seconds: float = 60) -> None:
        """Asked from outside: what Playwright would have the page itself evaluate, its policy forbids."""
        await_true(lambda: self.page.evaluate(f"Boolean({expression})"), seconds)

    def audit(self) -> None:
        """By axe-core: nothing that is serious, in this page as it is."""
        self.page.evaluate(axe_source())
        found = self.page.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
        serious = [
            (rule["id"], rule["help"], [node["html"][:200] for node in rule["nodes"][:3]])
            for rule in found
            if rule["impact"] in SERIOUS
        ]
        assert not serious, (self.page.url, serious)

    def overflows(self) -> bool:
        """Whether the page is wider than the window."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def axe_source() -> str:
    import axe_playwright_python

    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()


@contextmanager
def a_browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    program = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@contextmanager
def a_page(browser: Any, origin: str, **options: Any) -> Iterator[Watched]:
    """Of a visitor who was never here; what went wrong is told at the end."""
    context = browser.new_context(**options)
    context.set_default_timeout(20_000)
    watched = Watched(context.new_page(), origin)
    try:
        yield watched
        watched.check()
    finally:
        context.close()
