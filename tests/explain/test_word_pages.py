"""Tables of words' maps, from maps whose numbers are known: what is asked of two halves, of small things, of pairs."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from PIL import Image

from turpentine.explain import _word_pages
from turpentine.explain._experiments import placed_scenes
from turpentine.explain._pages import Pictures
from turpentine.explain._subjects import WORLD, Subject
from turpentine.explain.contributions import ContributionsFinding
from turpentine.explain.maps_finding import MapsFinding
from turpentine.models import Model

COLOURS = ("red", "blue", "green", "pink")


def side(left: bool) -> np.ndarray:
    heat = np.zeros((8, 8))
    heat[:, : 4 if left else 8] = 1
    return heat if left else 1 - np.pad(np.ones((8, 4)), ((0, 0), (0, 4)))


def picture(left: bool) -> Image.Image:
    """A black square in the left or the right upper corner of white."""
    pixels = np.full((32, 32, 3), 255, np.uint8)
    pixels[4:12, slice(4, 12) if left else slice(20, 28)] = 0
    return Image.fromarray(pixels)


def maps(model: Model, heats: list[dict[str, np.ndarray]], images: list[Image.Image]) -> MapsFinding:
    labels = [site.label for site in model.sites.only(kind="cross-attention", level="module")]
    parts = dict.fromkeys(["all", *labels], heats)
    table = pl.DataFrame({"prompt": [], "part": []})
    return MapsFinding(table, model.sites, "Maps", heats, images, 0.4, "range", None, (), parts)


def cells(table: str) -> dict[str, list[str]]:
    lines = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
    return {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}


def test_each_of_two_objects_has_its_half(emoji: Model) -> None:
    (subject, *_) = WORLD["pairs"]()
    words = {word.split()[-1]: side(True) for word in ("style", "background", *subject.words.values())}
    words |= {subject.concept: side(True), subject.words["second"]: side(False)}
    page = _word_pages.pairs(
        maps(emoji, [words] * 2, [picture(True)] * 2), Pictures(emoji, None, [subject] * 2, 2), "pairs", "two"
    )
    assert cells(page.tables["halves"])["UP6"] == ["100 (51–100)", "100 (100–100)"]
    overlaps = cells(page.tables["pairs"])
    assert overlaps["two objects with “and”"][0] == "0 (0–0)"
    assert overlaps["first object and “background”"] == ["100 (100–100)"] * 3
    assert set(page.figures) == {"two"}
    wrong = maps(
        emoji, [words | {subject.concept: side(False), subject.words["second"]: side(True)}] * 2, [picture(True)] * 2
    )
    page = _word_pages.pairs(wrong, Pictures(emoji, None, [subject] * 2, 2), "pairs", "two")
    assert cells(page.tables["halves"])["ALL"] == ["0 (0–49)", "0 (0–0)"]


def test_a_map_ranks_its_own_object_and_not_that_of_another_picture(emoji: Model) -> None:
    of = [Subject(prompt=f"a small dog on a {colour} background", concept="dog") for colour in COLOURS[:4]]
    heats, sides = [], (True, True, False, False)
    for left in sides:
        heat = np.zeros((8, 8))
        heat[1:3, slice(1, 3) if left else slice(5, 7)] = 1
        heats.append({"dog": heat, "on": np.ones((8, 8))})
    found = maps(emoji, heats, [picture(left) for left in sides])
    row = cells(_word_pages.small(found, Pictures(emoji, None, of, 1), "small", "small").tables["small"])["ALL"]
    own, other, control, points, overlap = (cell.split()[0] for cell in row)
    assert float(own) > 0.95 and float(other) < 0.6 and float(control) == 0.5
    assert points == "100" and float(overlap) > 60


def test_words_that_all_prompts_have_are_in_the_table(emoji: Model) -> None:
    of = [Subject(prompt=f"a {word} on ice", concept=word) for word in ("dog", "cat")]
    heats = [{word: side(True) for word in subject.prompt.split()} for subject in of]
    page = _word_pages.maps(maps(emoji, heats, [picture(True)] * 2), Pictures(emoji, None, of, 1), "maps", "maps")
    assert list(cells(page.tables["words"]))[2:] == ["the object’s name", "“a”", "“on”", "“ice”", "the whole picture"]
    assert list(cells(page.tables["maps"]))[0:1] == ["layers"] and "style word" not in page.tables["maps"]


def test_what_attention_adds_is_told_apart_by_whether_the_object_is_named(emoji: Model) -> None:
    of = [Subject(prompt="a dog", concept="dog"), Subject(prompt="loyal friend", concept="loyal friend", label="dog")]
    (site,) = emoji.sites.only(kind="cross-attention", level="module", label="UP7")
    rows = pl.DataFrame(
        {
            "prompt": ["a dog", "loyal friend"],
            "seed": [0, 0],
            "site": site.name,
            "inside": [3.0, 1.0],
            "outside": [1.0, 2.0],
        }
    )
    found = ContributionsFinding(rows, emoji.sites, "t", rows, {site.name: [side(True)] * 2}, [picture(True)] * 2)
    page = _word_pages.named(found, Pictures(emoji, None, of, 1), "contributions", "c")
    lines = [line for line in page.tables["contributions"].splitlines() if "UP7" in line]
    assert [line.split(" | ")[2:4] for line in lines] == [
        ["named", "3.00 (3.00–3.00)"],
        ["implied", "0.50 (0.50–0.50)"],
    ]


@pytest.mark.parametrize("scene", ["alone", "beside another"])
def test_truths_are_where_the_first_sprite_is(scene: str) -> None:
    images, truths, words = placed_scenes()[scene]
    assert len(images) == len(truths) == len(words) == 10
    for truth in truths:
        assert 0.02 < truth.mean() < 0.8
        if scene == "beside another":
            assert not truth[:, 17:].any(), "the other object is to the right"
    told_other = placed_scenes()["alone, told another’s name"][2]
    assert all(own != other for own, other in zip(words, told_other, strict=True))
