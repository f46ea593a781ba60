from __future__ import annotations

import re
from pathlib import Path

import pytest
from report.fake import fake_result
from report.page import HOSTILE, Page

from turpentine.bench import Case, ErasureResult, erasure_cases, plain_cases
from turpentine.concepts import Concept
from turpentine.report import render_erasure, write_report


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> ErasureResult:
    return fake_result(tmp_path_factory.mktemp("run"), seeds=2)


@pytest.fixture(scope="module")
def html(result: ErasureResult) -> str:
    return render_erasure(result, command="turpentine erase church --method esd-x")


def test_the_page_is_well_formed_and_needs_nothing_from_outside(html: str) -> None:
    page = Page(html)
    assert page.open == []
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    sources = [value or "" for name, value in page.attributes if name in ("src", "href", "srcset", "data", "action")]
    assert sources
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in sources)
    assert not re.search(r"url\(|@import|https?://", html)
    assert "default-src 'none'" in html


def test_both_pictures_of_each_prompt_and_seed_are_shown_once(html: str, result: ErasureResult) -> None:
    shown = [value for name, value in Page(html).attributes if name == "alt"]
    asked = [f"{when}: {p}, seed {s}" for p, s in result.before.images for when in ("before", "after")]
    assert sorted(filter(None, shown)) == sorted(asked)


def test_the_numbers_are_those_of_the_comparison(html: str, result: ErasureResult) -> None:
    text = " ".join(Page(html).text.split())
    erased = result.effects.summary["erased"]
    assert erased.before is not None
    assert erased.after is not None
    assert f"{erased.after.hits} of {erased.after.n} pictures after, {erased.before.hits} before" in text
    for change in result.effects.labels:
        assert f"{change.label} {change.before.n} {100 * change.before.value:.0f} % " in text  # type: ignore[union-attr]
    assert f"0 of {len(result.before.images)} before" in text


def test_what_is_amplified_is_no_worse_for_showing_more(tmp_path: Path) -> None:
    page = render_erasure(fake_result(tmp_path / "more", seeds=2, goal="amplify", is_swapped=True))
    assert "erased" not in page.lower()
    tile = page.split('<article class="first">')[1].split("</article>")[0]
    assert 'class="better"' in tile
    other = render_erasure(fake_result(tmp_path / "less", seeds=2, is_swapped=True))
    assert 'class="worse"' in other.split('<article class="first">')[1]


def test_it_tells_settings_provenance_and_how_to_do_it_again(html: str, result: ErasureResult) -> None:
    text = Page(html).text
    assert "turpentine erase church --method esd-x" in text
    assert "tp.Concept('church')" in text
    assert result.edit.id in text
    assert "torch 2.13.0" in text
    assert "@iconify-json/twemoji" in text
    assert "CC-BY-4.0" in text


def test_names_from_outside_are_text_and_nothing_else(tmp_path: Path) -> None:
    cases = [
        Case("erased", HOSTILE, HOSTILE, "object", "church"),
        Case("other", HOSTILE, f"a {HOSTILE}", "object", "dog"),
    ]
    result = fake_result(tmp_path, Concept(HOSTILE), cases, seeds=2)
    result.run.about["model"]["name"] = HOSTILE
    result.run.identity["method"] = {"name": HOSTILE, "settings": {HOSTILE: HOSTILE}}
    html = render_erasure(result, command=HOSTILE)
    page = Page(html)
    assert page.open == []
    assert "script" not in page.tags
    assert "onerror" not in dict(page.attributes)
    assert all((value or "").startswith("data:image/png") for name, value in page.attributes if name == "src")
    assert "{{ 7*7 }}" in page.text
    assert "&amp;amp;" in html
    assert not re.search("[\u202e\x1b]", html)


def test_a_concept_without_truth_has_pictures_and_says_so(tmp_path: Path) -> None:
    concept = Concept("dragon")
    result = fake_result(tmp_path, concept, plain_cases(concept), seeds=2)
    text = Page(render_erasure(result)).text
    assert "No judge here knows" in text
    assert "In numbers" not in text
    assert "“a dragon”" in text


def test_many_seeds_are_cut_short_and_it_says_so(tmp_path: Path) -> None:
    result = fake_result(tmp_path, cases=[Case("erased", "church", "a church", "object", "church")], seeds=11)
    html = render_erasure(result)
    assert html.count("<img ") == 16
    assert "the first 8 of 11 seeds" in html


def test_it_is_written_whole_beside_the_run_unless_told_otherwise(result: ErasureResult, tmp_path: Path) -> None:
    assert write_report(result) == result.files["report"]
    elsewhere = write_report(result, tmp_path / "deep" / "page.html")
    assert elsewhere.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [path.name for path in elsewhere.parent.iterdir()] == ["page.html"]


@pytest.mark.parametrize(("seeds", "is_few"), [(1, True), (2, True), (8, False)])
def test_with_few_seeds_prompts_stand_beside_each_other_and_none_is_folded(
    seeds: int, is_few: bool, tmp_path: Path
) -> None:
    cases = [case for case in erasure_cases(Concept("church")) if case.group in ("erased", "neighbour")][:8]
    html = render_erasure(fake_result(tmp_path, seeds=seeds, cases=cases))
    assert (f'class="large few few-{seeds}"' in html) == is_few
    assert ("more prompt" in html) != is_few
    assert ">None<" not in html and f'<summary><span class="digest">{"ab" * 6}…</span></summary>' in html
