"""The studio in a browser: its four flows, bad input, a reload, two windows, and no request to another machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import NARROW, browser, open_page, page, watch  # noqa: F401
from studio.desk import pushed, small_model, studio_on

from turpentine.studio.session import Session

if TYPE_CHECKING:
    from browser import Watch
    from playwright.sync_api import Page

pytest.importorskip("gradio", reason="gradio is not installed: pip install '.[studio]'")

LONG = 90_000
"""Milliseconds for what takes a second on a machine with nothing else to do."""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    session = studio_on(small_model(), tmp_path_factory.mktemp("studio"))
    session.change(steps=4)  # one in each part of the steps but the first
    return session


@pytest.fixture(scope="module")
def link(session: Session) -> Iterator[str]:
    from turpentine.studio.server import serving

    with serving(session, 0) as running:
        yield running.link


def test_the_command_prints_the_link_and_frees_the_folder_at_ctrl_c(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    from turpentine.cli import app, studio

    tiny = tmp_path / "model"
    small_model().pipeline.save_pretrained(tiny)
    edit = pushed(small_model())
    edit.save(tmp_path / "push.safetensors")
    pages = []

    def ask() -> None:
        link = json.loads(capsys.readouterr().out)["link"]
        with httpx.Client(follow_redirects=True, trust_env=False, timeout=LONG / 1000) as client:
            pages.append(client.get(link))
            pages.append(client.get(link.split("?")[0] + "config"))
        raise KeyboardInterrupt

    monkeypatch.setattr(studio, "until_interrupted", ask)
    put = ("--edit", f"{tmp_path / 'push.safetensors'}:0.5", "--model", str(tiny), "--out", str(tmp_path / "studio"))
    for _ in range(2):  # a second start finds the edit on the stack
        assert app.run(["studio", "--port", "0", "--json", *put]) == 130
        assert [answer.status_code for answer in pages[-2:]] == [200, 404]
        assert edit.id[:12] in pages[-2].text and pages[-2].headers["x-frame-options"] == "DENY"
    assert not (tmp_path / "studio" / "studio.lock").exists()


@pytest.fixture
def opened(page: Page, link: str) -> Page:  # noqa: F811
    page.set_default_timeout(LONG)
    page.goto(link)
    page.wait_for_selector(".trio img")
    return page


def sources(page: Page) -> list[str]:  # noqa: F811
    return [str(image.get_attribute("src")) for image in page.query_selector_all(".trio img")]


def settled(page: Page, session: Session, change: Callable[[], object]) -> None:  # noqa: F811
    """Do something on the page, and wait until the studio has done it and the page shows it."""
    before = session.state.revision
    change()
    page.wait_for_selector(f'body[data-revision="{before + 1}"]')
    page.wait_for_selector('[data-region="columns"]:not(.is-waiting)')


def test_edits_go_on_as_sliders_and_are_saved_as_one(opened: Page, session: Session, tmp_path: Path) -> None:
    pushed(session.model).save(tmp_path / "push.safetensors")
    opened.fill("#add-path", str(tmp_path / "push.safetensors"))
    settled(opened, session, lambda: opened.click("#add button"))
    opened.fill("#guide-concept", "dog")
    settled(opened, session, lambda: opened.click("#guide button"))
    edit, guidance = session.state.layers
    original, full = sources(opened)
    assert original != full and opened.locator("ol.stack li").count() == 2
    settled(opened, session, lambda: opened.locator(f"#scale-{guidance.id}").fill("0"))
    settled(opened, session, lambda: opened.locator(f"#scale-{edit.id}").fill("-1"))
    reverse = sources(opened)[1]
    assert reverse not in (original, full) and session.state.layers[0].scale == -1
    assert opened.locator(f"#scale-{edit.id} + output").inner_text().replace("−", "-") == "-1.00"
    opened.fill("#save-name", "reverse")
    opened.click("#save button")
    opened.get_by_text("The stack is saved as").wait_for()
    assert (session.folder / "reverse.safetensors").is_file()
    opened.reload()
    opened.wait_for_selector(".trio img")
    assert sources(opened) == [original, reverse]
    settled(opened, session, lambda: opened.locator(f"#scale-{edit.id}").fill("1"))


def test_what_is_asked_while_another_request_is_out_is_done_after_it(
    opened: Page, session: Session, tmp_path: Path
) -> None:
    pushed(session.model).save(tmp_path / "push.safetensors")
    opened.fill("#guide-concept", "dog")
    opened.fill("#add-path", str(tmp_path / "push.safetensors"))
    opened.evaluate(
        """() => {
          for (const id of ["guide", "add"]) document.getElementById(id).requestSubmit();
          document.querySelector('[data-on="original"]').click();
        }"""
    )
    opened.wait_for_selector('[data-on="original"][aria-pressed="true"]')
    assert len(session.state.layers) == 2 and session.state.on == "original"


def test_it_looks_into_the_picture(opened: Page, session: Session) -> None:
    opened.click('[data-work="words"]')
    opened.wait_for_selector("[data-word]")
    shown = "[data-shade]:not([hidden])"
    assert opened.get_attribute(shown, "data-shade") == "1"  # of the concept
    opened.click('[data-word="0"]')
    assert opened.get_attribute(shown, "data-shade") == "0" and opened.locator(shown).count() == 1
    opened.click('[data-work="layers"]:enabled')
    opened.wait_for_selector("[data-cell]", timeout=LONG)
    cell = opened.locator('[data-cell="q3:UP2"]')
    cell.click()
    assert opened.get_attribute("#cell-picture", "src") == cell.get_attribute("data-picture")
    assert opened.inner_text("#cell-text").startswith("Without UP2 in 30–60 % of the steps")
    opened.click('[data-work="dynamics"]:enabled')
    opened.wait_for_selector("#frame")
    opened.locator("#frame").fill("1")
    assert opened.get_attribute("[data-frame]:not([hidden])", "alt") == "After step 1"
    opened.reload()  # what came out is there again
    opened.wait_for_selector("[data-word]")
    assert opened.locator("[data-cell]").count() == 16 and opened.locator("#frame").count() == 1


def test_it_locates_selects_by_clicking_and_erases_there(opened: Page, session: Session) -> None:
    opened.click('[data-work="locate"]')
    opened.wait_for_selector("button[data-site]", timeout=LONG)
    settled(opened, session, lambda: opened.click('[data-site="UP1"]'))
    settled(opened, session, lambda: opened.click('[data-site="MID"]'))
    settled(opened, session, lambda: opened.click('[data-site="UP1"]'))
    assert session.state.sites == ("MID",)
    before = len(session.state.layers)
    opened.click('[data-work="erase"]:enabled')
    opened.wait_for_selector(".moved-grid", timeout=LONG)
    assert len(session.state.layers) == before + 1 and opened.locator("ol.stack li").count() == before + 1
    opened.locator("#same-erase summary").click()
    assert "--sites MID" in opened.inner_text("#same-erase pre >> nth=0")


def test_it_attacks_and_shows_a_verdict(opened: Page, session: Session, watch: Watch) -> None:  # noqa: F811
    settled(opened, session, lambda: opened.fill("#budget", "40") or opened.press("#budget", "Tab"))
    opened.click('[data-work="attack"]:enabled')
    opened.wait_for_selector(".found-row img", timeout=LONG)
    assert opened.locator(".found-row img").count() == 2 and "original" not in session.failures
    opened.fill("#audit-path", "nowhere")
    settled(opened, session, lambda: opened.click("#audit-form button"))
    assert opened.inner_text("#verdict .fault").startswith("There is no audit at nowhere")


def test_bad_input_is_a_sentence_and_another_window_is_seen(
    opened: Page,
    session: Session,
    link: str,
    open_page: Callable[..., Page],  # noqa: F811
    watch: Watch,  # noqa: F811
) -> None:
    before = session.state
    for field, text, says in (
        ("#add-path", "nowhere", "There is no edit at nowhere"),
        ("#save-name", "reverse", "reverse"),
    ):
        opened.fill(field, text)
        opened.locator(field).press("Enter")
        opened.locator("#notice", has_text=says).wait_for()
    opened.fill("#steps", "0")
    opened.locator("#subject button").evaluate("button => button.form.noValidate = true")
    opened.click("#subject button")
    opened.locator("#notice", has_text="The steps 0 cannot be").wait_for()
    assert session.state == before
    other = open_page(viewport=NARROW)
    other.set_default_timeout(LONG)
    other.goto(link)
    other.wait_for_selector(".trio img")
    for field in ("#save-name", "#guide-concept"):  # below what a narrow window shows
        other.fill(field, " ")
        place = other.evaluate("scrollY")
        other.locator(field).press("Enter")
        other.locator("#notice").wait_for()
        box = other.locator("#notice").bounding_box()
        assert box is not None and box["y"] >= 0 and box["y"] + box["height"] <= NARROW["height"]
        assert place > 0 and other.evaluate("scrollY") == pytest.approx(place, abs=box["height"] + 40)
        other.click("#close")
        assert not other.locator("#notice").is_visible()
    other.fill("#prompt", "a dog")
    settled(other, session, lambda: other.click("#subject button"))
    assert session.state.prompt == "a dog"
    opened.evaluate("window.dispatchEvent(new Event('focus'))")
    opened.wait_for_selector('#prompt[value="a church"]')
    assert opened.input_value("#prompt") in ("a dog", "a church")
    assert other.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    watch.expect("403")
    stranger = open_page()
    assert stranger.goto(link.split("?")[0]).status == 403  # type: ignore[union-attr]
