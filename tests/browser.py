"""Pages in a real browser: Debian's Chromium without a window, driven by playwright.

A test module takes the fixtures that it needs by `from browser import browser, page  # noqa: F401`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
"""Windows of a desk and of a telephone."""

PATIENCE_MS = 15_000
LOCAL = ("127.0.0.1", "localhost", "::1")
INSIDE = ("data", "blob", "about", "file")
"""Schemes of what needs no network."""

_ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--mute-audio", "--force-color-profile=srgb")


def chromium() -> str | None:
    """Return the path of the browser, None where there is none."""
    return next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)


@dataclass
class Watch:
    """What a page complains of, and what it asks of other machines: both fail the test.

    Attributes:
        complaints: Errors on the console, exceptions, and requests that leave this machine.
        expected: Parts of complaints that a test provokes.
    """

    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def expect(self, *parts: str) -> None:
        """Let complaints pass that contain one of these."""
        self.expected += parts

    def unexpected(self) -> list[str]:
        """Return the complaints that no test provoked."""
        return [each for each in self.complaints if not any(part in each for part in self.expected)]

    def follow(self, page: Page) -> None:
        """Collect what a page complains of."""
        page.on("console", lambda message: self._add(message.type == "error", f"console: {message.text}"))
        page.on("pageerror", lambda error: self._add(True, f"exception: {error}"))

    def refuse_others(self, context: BrowserContext) -> None:
        """Stop and note each request for another machine."""

        def decide(route: Any) -> None:
            url = urlsplit(route.request.url)
            if url.scheme in INSIDE or url.hostname in LOCAL:
                route.continue_()
            else:
                self._add(True, f"request: {route.request.url}")
                route.abort()

        context.route("**/*", decide)

    def _add(self, is_complaint: bool, text: str) -> None:
        if is_complaint:
            self.complaints.append(text)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of a module; skipped where there is none.

    Playwright holds an event loop in this thread as long as it runs: others' tests must be able to have their own.
    """
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
    path = chromium()
    if path is None:
        pytest.skip("There is no Chromium: apt-get install chromium.")
    with api.sync_playwright() as playwright, _quiet():
        running = playwright.chromium.launch(executable_path=path, headless=True, args=list(_ARGUMENTS))
        yield running
        running.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the browser from looking for a session bus and a display."""
    before = {name: os.environ.pop(name, None) for name in ("DISPLAY", "DBUS_SESSION_BUS_ADDRESS")}
    try:
        yield
    finally:
        os.environ.update({name: value for name, value in before.items() if value is not None})


@pytest.fixture
def watch() -> Watch:
    """What the pages of a test complain of."""
    return Watch()


@pytest.fixture
def open_page(browser: Browser, watch: Watch) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a page of its own session, such as `open_page(viewport=NARROW)`.

    Its arguments are those of playwright's `Browser.new_context`. After the test, complaints of any of its pages fail.
    """
    contexts = []

    def opened(**options: Any) -> Page:
        context = browser.new_context(**{"viewport": WIDE, "reduced_motion": "reduce", **options})
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        watch.refuse_others(context)
        context.on("page", watch.follow)
        return context.new_page()

    yield opened
    for context in contexts:
        context.close()
    assert watch.unexpected() == []


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    """A page in a wide window; errors on its console and requests that leave this machine fail the test."""
    return open_page()
