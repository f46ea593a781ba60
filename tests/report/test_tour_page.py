from pathlib import Path

import pytest
from PIL import Image
from report.page import HOSTILE, Page

from turpentine.explain.tour import StopResult
from turpentine.report.tour_page import ONE_PROMPT, write_stops_page


@pytest.fixture
def stops(tmp_path: Path) -> list[StopResult]:
    found = []
    for name, width in (("maps", 1500), ("intervene", 600)):
        (tmp_path / name).mkdir()
        Image.new("RGB", (width, 300)).save(tmp_path / name / "plot.png")
        found.append(StopResult(name, f"What of {HOSTILE}?", f"It is {HOSTILE}.", 1.0, tmp_path / name, skipped=False))
    return found


def test_the_page_has_every_stop_and_no_text_of_it_acts(stops: list[StopResult], tmp_path: Path) -> None:
    path = write_stops_page(
        stops,
        tmp_path / "page.html",
        **dict.fromkeys(("title", "lead", "note", "command"), HOSTILE),
        facts={HOSTILE: HOSTILE},
    )
    page = Page(path.read_text(encoding="utf-8"))
    assert page.tags.count("img") == 2 and "script" not in page.tags
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert "\u202e" not in page.text and "49" not in page.text
    assert page.text.count("It is <script>alert(1)</script>") == 2


def test_pictures_are_shown_in_one_scale(stops: list[StopResult], tmp_path: Path) -> None:
    path = write_stops_page(stops, tmp_path / "page.html", title="dog", lead="", note=ONE_PROMPT, facts={})
    wide, narrow = (int(value or 0) for name, value in Page(path.read_text()).attributes if name == "width")
    assert wide == pytest.approx(2.5 * narrow, abs=2)
