"""The seam to the browser: what a page complains of, and what it asks of others, is noticed."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import NARROW, Watch, browser, open_page, page, watch  # noqa: F401

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Return a function that puts a page of HTML on a server of this machine, and returns its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def put(body: str) -> str:
        (tmp_path / "page.html").write_text(
            f"<!doctype html><meta charset=utf-8><link rel=icon href='data:,'><title>A page</title>{body}"
        )
        return f"http://127.0.0.1:{server.server_port}/page.html"

    yield put
    server.shutdown()
    server.server_close()


def test_a_good_page_passes(page: Page, site: Callable[[str], str]) -> None:  # noqa: F811
    page.goto(site("<button onclick='document.title=innerWidth'>Press</button>"))
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.title() == "1280"


def test_complaints_and_requests_of_others_are_noticed(
    open_page: Callable[..., Page],  # noqa: F811
    watch: Watch,  # noqa: F811
    site: Callable[[str], str],
) -> None:
    small = open_page(viewport=NARROW)
    small.goto(
        site("<script>console.error('a complaint'); undefined_function()</script><img src='http://example.org/'>")
    )
    assert small.evaluate("innerWidth") == 390
    assert len(watch.unexpected()) >= 3
    watch.expect("a complaint", "undefined_function", "example.org", "ERR_FAILED")
    assert watch.unexpected() == []
