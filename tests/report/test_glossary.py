"""Terms at the foot of a page."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from report.page import Page

from turpentine.explain.tour import StopResult
from turpentine.report.glossary import TERMS, glossary
from turpentine.report.tour_page import write_stops_page


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("UP6 H3 tells objects apart (silhouette 0.2).", ["DOWN1, MID, UP6", "H3", "silhouette"]),
        ("Under q2:MID the layout overlaps by 30 %.", ["DOWN1, MID, UP6", "q2:MID", "IoU"]),
        ("The map ranks it with AUC 0.8; the latents move.", ["AUC", "latents"]),
        ("A church.", []),
    ],
)
def test_the_terms_of_a_text_are_explained_and_no_others(text: str, terms: list[str]) -> None:
    assert list(glossary([text])) == terms and all(glossary([text])[term] == TERMS[term][1] for term in terms)


def test_a_tour_explains_what_its_pictures_say_too(tmp_path: Path) -> None:
    Image.new("RGB", (60, 30)).save(tmp_path / "plot.png")
    stop = StopResult("heads", "Which heads?", "Some do.", 1.0, tmp_path, skipped=False)
    page = write_stops_page([stop], tmp_path / "tour.html", title="x", lead="", note="", facts={"weights": "ab" * 32})
    text = Page(page.read_text(encoding="utf-8")).text
    assert "Glossary" in text and TERMS["silhouette"][1] in text and TERMS["IoU"][1] not in text
    html = page.read_text(encoding="utf-8")
    assert f'<summary><span class="digest">{"ab" * 6}…</span></summary>' in html and "ab" * 32 in html
