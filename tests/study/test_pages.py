"""Whole sessions in a browser: by keyboard, on a telephone, resumed, answered wrongly, and with a server away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import NARROW, WIDE, Watch, browser, open_page, page, watch  # noqa: F401
from study.studies import PLAN, free_port, served, small_study

from turpentine.study.server import create_app
from turpentine.study.store import StudyStore

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from turpentine.study.trials import StudyTrial

READY = "#answers button:enabled, #onward:visible, #end:visible"
CHOICE = "  - {name: closer, kind: choice, text: 'Which is closer to {subject}?'}\n"
THERE = "  - {name: there, kind: presence, text: 'Is it by {subject}?'}\n"
KEYS = {"left": "ArrowLeft", "right": "ArrowRight", "tie": "ArrowDown", "yes": "y", "no": "n", "unsure": "u"}


@pytest.fixture
def store(tmp_path: Path) -> StudyStore:
    return StudyStore(str(tmp_path / "answers.sqlite"), small_study(tmp_path), create=True)


@pytest.fixture
def address(store: StudyStore) -> Iterator[str]:
    with served(create_app(store)) as place:
        yield place


def right_value(trial: StudyTrial) -> str:
    if trial.right_answers:
        return trial.right_answers[0]
    return {"rating": "3", "presence": "unsure", "choice": "tie"}[trial.question.kind]


def by_keys(view: Page, store: StudyStore, slot: int = 0, value: Callable[[StudyTrial], str] = right_value) -> None:
    """Answer everything with the keyboard alone, from the first trial that is not answered."""
    for number in range(sum(1 for _ in store.everything()[1]), len(store.study.trials(slot))):
        view.wait_for_selector("#answers button:enabled")
        answer = value(store.study.trials(slot)[number])
        view.keyboard.press(KEYS.get(answer, answer))
        view.wait_for_selector("#onward:visible, #end:visible, .answers:not(:has(.chosen)) button:enabled")
        if view.locator("#onward").is_visible():
            view.keyboard.press("Enter")
        if view.locator("#end").is_visible():
            return


def begin_by_keys(view: Page, place: str) -> None:
    view.goto(place)
    view.keyboard.press("Tab")
    view.keyboard.press("Space")
    view.keyboard.press("Tab")
    view.keyboard.press("Enter")
    view.wait_for_selector(READY)


def test_a_session_by_keyboard_from_consent_to_thanks(page: Page, address: str, store: StudyStore) -> None:  # noqa: F811
    begin_by_keys(page, f"{address}/s/{store.entry}")
    assert "How likely is it that this is a true work by" in page.inner_text("#text")
    by_keys(page, store)
    assert page.inner_text("#end-title") == "Thank you."
    raters, answers = store.everything()
    assert [rater.state for rater in raters] == ["done"]
    assert [each.value for each in answers] == [right_value(trial) for trial in store.study.trials(0)]
    assert all(each.milliseconds > 0 for each in answers)


def test_a_telephone_shows_all_at_once_and_fingers_do(
    open_page: Callable[..., Page],  # noqa: F811
    tmp_path: Path,
) -> None:
    plan = PLAN.replace("questions:\n", "questions:\n" + CHOICE + THERE).replace(
        "folder: pictures", "folder: pictures\n    blur: true"
    )
    store = StudyStore(str(tmp_path / "b.sqlite"), small_study(tmp_path, plan=plan), create=True)
    view = open_page(viewport=NARROW, has_touch=True, is_mobile=True)
    with served(create_app(store)) as place:
        view.goto(f"{place}/s/{store.entry}")
        assert "Some pictures may be unpleasant" in view.inner_text("main")
        view.tap("#agree")
        view.tap("#join")
        kinds, seen = set(), set()
        for trial in store.study.trials(0):
            view.wait_for_selector("#answers button:enabled")
            kinds.add(trial.question.kind)
            assert view.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
            for button in view.locator("#answers button").all():
                box = button.bounding_box()
                assert box is not None and box["height"] >= 44 and box["y"] + box["height"] <= NARROW["height"]
            blurred = view.locator("#pictures .blurred")
            hidden = [each.id for each in trial.stills if trial.unit and each.id not in seen]
            assert blurred.count() == len(hidden)
            if hidden:
                view.tap("#pictures .reveal >> nth=0")
                seen.add(hidden[0])
            view.tap(f'#answers [data-value="{right_value(trial)}"]')
            view.wait_for_selector("#onward:visible, #end:visible, .answers:not(:has(.chosen)) button:enabled")
            if view.locator("#onward").is_visible():
                view.tap("#onward")
        assert kinds == {"rating", "presence", "choice"}
        assert view.inner_text("#end-title") == "Thank you."
    store.close()


def test_a_link_goes_on_where_it_was_on_another_device(
    open_page: Callable[..., Page],  # noqa: F811
    address: str,
    store: StudyStore,
) -> None:
    first = open_page()
    begin_by_keys(first, f"{address}/s/{store.entry}")
    first.keyboard.press(right_value(store.study.trials(0)[0]))
    first.wait_for_selector("#onward:visible")
    other = open_page(viewport=NARROW)
    other.goto(first.url)
    other.wait_for_selector("#answers button:enabled")
    assert other.inner_text("#where") == "To begin with 2 of 3"
    other.click("#leave")
    other.keyboard.press("Escape")  # goes on
    by_keys(other, store)
    other.click("#delete")
    other.click("#forget")
    other.wait_for_selector("#end-title:text('Deleted.')")
    assert store.everything() == ([], [])


def test_wrong_answers_to_the_first_pictures_end_it_kindly_and_wrong_checks_leave_a_rater_out(
    page: Page,  # noqa: F811
    address: str,
    store: StudyStore,
    tmp_path: Path,
) -> None:
    from turpentine.study.answers import answer_table
    from turpentine.study.exclusions import excluded_raters

    def careless(trial: StudyTrial) -> str:
        wrong = next(value for value in "135" if value not in trial.right_answers)
        return wrong if trial.phase == "attention" else right_value(trial)

    begin_by_keys(page, f"{address}/s/{store.entry}")
    by_keys(page, store, value=careless)
    table = answer_table(store.study, *store.everything())
    assert list(excluded_raters(table, store.study).values()) == [("1 attention check answered wrongly",)]

    strict = StudyStore(str(tmp_path / "c.sqlite"), store.study, create=True)
    with served(create_app(strict)) as place:
        begin_by_keys(page, f"{place}/s/{strict.entry}")
        by_keys(page, strict, value=lambda trial: next(each for each in "135" if each not in trial.right_answers))
        assert page.inner_text("#end-title") == "Thank you for trying."
    assert [rater.state for rater in strict.everything()[0]] == ["unqualified"]


def test_an_answer_waits_for_a_server_that_is_away(
    open_page: Callable[..., Page],  # noqa: F811
    watch: Watch,  # noqa: F811
    store: StudyStore,
) -> None:
    watch.expect("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE")
    view, port = open_page(viewport=WIDE), free_port()
    with served(create_app(store), port) as place:
        begin_by_keys(view, f"{place}/s/{store.entry}")
    view.keyboard.press("4")
    view.wait_for_selector("#problem:visible")
    assert "Your answer waits here" in view.inner_text("#problem")
    with served(create_app(store), port):
        view.wait_for_selector("#onward:visible")
        assert not view.locator("#problem").is_visible()
    assert [each.value for each in store.everything()[1]] == ["4"]
