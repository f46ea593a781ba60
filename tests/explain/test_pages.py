"""Tables of pages, from findings whose numbers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from PIL import Image

from turpentine.explain import _pages
from turpentine.explain._branches import summarize
from turpentine.explain._pages import Pictures, spanned
from turpentine.explain._series import Series, in_series
from turpentine.explain._subjects import Subject, captions, company
from turpentine.explain.intervene import InterveneFinding
from turpentine.explain.locogen import LocoGen, pooled
from turpentine.explain.trace import TraceFinding
from turpentine.judges import EmojiJudge
from turpentine.models import Model
from turpentine.stats.intervals import Estimate, Rate

SUBJECTS = [Subject(prompt=f"a {word}", concept=word) for word in ("dog", "cat", "owl", "car")]
LETTERS = ["untouched", *(f"{act}{window}" for act in "qop" for window in ("1", "2", "3", "4", "1.2"))]


def pictures(model: Model, seeds: int = 2) -> Pictures:
    return Pictures(model, None, [subject for subject in SUBJECTS for _ in range(seeds)], seeds)


def intervened(model: Model) -> InterveneFinding:
    """Fine detail is 0.5 severed and 0.2 swapped; of each prompt the layout is another."""
    rows = [
        (letters, subject.prompt, seed, letters[0] != "q", at / 10, {"q": 0.5, "p": 0.2}.get(letters[0], 0.1), 0.3)
        for letters in LETTERS
        for at, subject in enumerate(SUBJECTS)
        for seed in range(2)
    ]
    names = ["letters", "prompt", "seed", "object kept", "layout", "fine detail", "fine detail of latents"]
    table = pl.DataFrame(rows, names, orient="row")
    images = {letters: [Image.new("RGB", (8, 8), (at, 0, 0)) for at in range(8)] for letters in LETTERS}
    return InterveneFinding(summarize(table), model.sites, "Interventions", table, images, steps=20)


def cells(table: str) -> dict[str, list[str]]:
    """The cells of a table by the first of their line."""
    lines = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
    return {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}


def test_windows_are_two_tables_and_their_difference(emoji: Model) -> None:
    page = _pages.windows(intervened(emoji), pictures(emoji), "time", "time")
    assert list(cells(page.tables["severed"]))[2:5] == ["untouched", "q1", "q2"]
    assert [name for name in cells(page.tables["swapped"]) if name.startswith("p")] == ["p1", "p2", "p3", "p4", "p1.2"]
    assert cells(page.tables["severed"])["q1"][0] == "0 (0–32)"
    assert cells(page.tables["deblurring"])["q3 − p3"] == [
        "+30.0 (+30.0 to +30.0)",
        "+0.0 (+0.0 to +0.0)",
        "+0.0 (+0.0 to +0.0)",
    ]
    assert set(page.figures) == {"time-severed", "time-swapped"}


def gridded(model: Model, layout: dict[tuple[str, str], float]) -> InterveneFinding:
    """Layers and windows of a grid, with the layout that each place leaves, the same for all prompts but the last."""
    rows = [("untouched", subject.prompt, 0, 1.0) for subject in SUBJECTS]
    for (layer, window), value in layout.items():
        rows += [(f"q{window}:{layer}", subject.prompt, 0, value) for subject in SUBJECTS[:-1]]
        rows.append((f"q{window}:{layer}", SUBJECTS[-1].prompt, 0, 0.5))
    table = pl.DataFrame(rows, ["letters", "prompt", "seed", "layout"], orient="row")
    images = {letters: [Image.new("RGB", (8, 8))] * 4 for letters in table["letters"].unique(maintain_order=True)}
    return InterveneFinding(summarize(table), model.sites, "Interventions", table, images, steps=20)


def test_a_grid_says_how_much_is_no_sum_of_layer_and_window(emoji: Model) -> None:
    even = {("MID", "1"): 0.9, ("MID", "4"): 0.5, ("UP6", "1"): 0.7, ("UP6", "4"): 0.3}
    crossed = {("MID", "1"): 0.9, ("MID", "4"): 0.3, ("UP6", "1"): 0.3, ("UP6", "4"): 0.9}
    page = _pages.grid(gridded(emoji, even), pictures(emoji, 1), "grid", "layers-grid")
    assert [cell.split()[0] for cell in cells(page.tables["grid"])["UP6"]] == ["65", "35"]
    assert list(cells(page.tables["grid"])) == ["severed", "---", "MID", "UP6"] and set(page.figures) == {"layers-grid"}
    assert "0 (0–0) % is no sum" in page.tables["grid"]
    assert (
        "100 (" in _pages.grid(gridded(emoji, crossed), pictures(emoji, 1), "grid", "g").tables["grid"].splitlines()[-1]
    )


def test_of_two_objects_one_may_go_alone(emoji: Model) -> None:
    of = [Subject(prompt=f"a dog and a {word}", concept="dog", words={"second": word}) for word in ("cat", "car")] * 2
    shown = {"untouched": ("dog", "cat"), "qUP6": ("dog", None), "oMID": (None, None)}

    class Sees(EmojiJudge):
        def __call__(self, images, **_):  # type: ignore[no-untyped-def]
            seen = [shown[images[0].info["letters"]]] * len(images)
            return pl.DataFrame(seen, {"object": pl.String, "object_also": pl.String}, orient="row")

    finding = intervened(emoji)
    images = {letters: [Image.new("RGB", (8, 8)) for _ in of] for letters in shown}
    for letters, each in images.items():
        for image in each:
            image.info["letters"] = letters
    finding = replace(finding, images=images)
    page = _pages.two(finding, Pictures(emoji, Sees(), of, 2), "two-objects", "layers-two")
    rates = {letters: [cell.split()[0] for cell in row] for letters, row in cells(page.tables["two-objects"]).items()}
    assert rates["untouched"] == ["100", "50", "50", "50"], "of two prompts one has a cat"
    assert rates["qUP6"] == ["100", "0", "0", "100"] and rates["oMID"] == ["0", "0", "0", "0"]
    assert "one alone" not in _pages.two(intervened(emoji), Pictures(emoji, None, of, 2), "two", "two").tables["two"]


def test_intervals_are_over_prompts(emoji: Model) -> None:
    value, low, high = map(
        float, cells(_pages.measures(intervened(emoji)))["q1"][1].replace("–", " (").rstrip(")").split(" (")
    )
    assert value == 15 and low < 8 and high > 22, "four prompts from 0 to 30 %, two pictures each that are alike"


def test_a_figure_has_the_first_pictures_of_some_prompts(emoji: Model) -> None:
    figure = _pages.strip(intervened(emoji), pictures(emoji))
    shown = [axis.get_images()[0].get_array() for axis in figure.axes if axis.get_images()]
    assert {int(np.asarray(each)[0, 0, 0]) for each in shown} == {0, 6}, "of the prompts 0 and 3; there is no fifth"
    assert len(shown) == 2 * len(LETTERS)


def test_works_are_judged_where_a_judge_knows_them(emoji: Model) -> None:
    of = [Subject(prompt="the orchard by orla", concept="orla", label="the orchard")] * 8
    finding = intervened(emoji)
    page = _pages.memorised(finding, Pictures(emoji, EmojiJudge(), of, 8), "memorised", "works")
    assert cells(page.tables["memorised"])["q1"][0] == "0 (0–32)"
    bare = _pages.memorised(finding, Pictures(emoji, None, of, 8), "memorised", "works")
    assert "the work" not in bare.tables["memorised"] and "layout" in bare.tables["memorised"]


def test_a_trace_shows_its_largest_effects(emoji: Model) -> None:
    sites = list(emoji.sites.only(kind="cross-attention", level="module"))
    rows = [(site.name, site.kind, site.label, at / 20, 0.0, 1.0, 0.5, 9) for at, site in enumerate(sites)]
    table = pl.DataFrame(rows, ["site", "kind", "label", "effect", "low", "high", "restored", "n"], orient="row")
    finding = TraceFinding(table, emoji.sites, "t", Rate(9, 9), Estimate(0.1, 0.0, 0.2), "dog")
    text = _pages.trace(finding, pictures(emoji), "trace", "trace").tables["trace"]
    assert text.startswith("Clean 100 (70–100) %, corrupted 10 (0–20) %.")
    best = [f"cross-attention {site.label}" for site in reversed(sites[-6:])]
    assert list(cells(text))[2:] == best and cells(text)[best[0]] == ["75 (0–100)"]


def test_windows_of_several_concepts_are_over_concepts(emoji: Model) -> None:
    judge, find = EmojiJudge(), LocoGen(width=15, steps=1)
    prompts = {"dog": ["a dog", "a dog in ink style"], "car": ["a car", "a car in ink style"]}
    findings = {
        concept: find(emoji, [text for text in texts for _ in range(2)], [0, 1] * 2, concept=concept, judge=judge)
        for concept, texts in prompts.items()
    }
    whole = pooled(findings)
    assert (
        len(whole.rows) == sum(len(each.rows) for each in findings.values()) and whole.table["n"].to_list() == [8] * 3
    )
    part = whole.rows.filter(pl.col("window") == whole.table["window"][1])
    expected = Rate.of(part["gone"].to_list(), part.select("concept", "prompt").rows())
    assert expected is not None and whole.table.row(1)[2:4] == (expected.low, expected.high)
    assert "dog and 1 more" in whole.summary()


def test_a_series_joins_findings_and_their_progress(emoji: Model) -> None:
    seen: list[tuple[int, int]] = []

    def find(word: str, progress: object) -> InterveneFinding:
        progress(1, 2)  # type: ignore[operator]
        return intervened(emoji)

    series = in_series({"one": "a", "two": "b"}, find, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (3, 4)] and series.table["of"].unique(maintain_order=True).to_list() == ["one", "two"]
    assert isinstance(series, Series) and series.summary().startswith("one: ") and series.plot()


@pytest.mark.parametrize(
    ("number", "scale", "digits", "text"),
    [(Estimate(0.974, 0.95, 0.98), 1, 2, "0.97 (0.95–0.98)"), (Rate(1, 2), 100, 0, "50 (9–91)")],
)
def test_numbers_have_their_intervals(number: Estimate | Rate, scale: float, digits: int, text: str) -> None:
    assert spanned(number, scale, digits) == text


def test_the_worlds_captions_are_two_of_each_and_company_is_anothers() -> None:
    assert len({subject.prompt for subject in captions()}) == 20
    assert [subject.prompt for subject in captions(1)] == [subject.prompt for subject in captions()[::2]]
    assert all(len({one, *others}) == 3 for one, others in company().items())
