"""What notebooks show: well-formed HTML, with every text from outside as text."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser
from typing import Any

import polars as pl
import pytest
from PIL import Image
from report.page import HOSTILE

from turpentine.concepts import Concept
from turpentine.core import notebook
from turpentine.core.safe_text import one_line
from turpentine.edits import Edit, Provenance
from turpentine.erase.guidance import NegativePrompt
from turpentine.erase.uce import UCE
from turpentine.explain import Maps
from turpentine.models import Model
from turpentine.models.generated import GeneratedPictures

VOID = {"img"}


class Reader(HTMLParser):
    """Checks that tags close in order; collects them and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.words = ""
        self.sources: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.sources.append(str(dict(attrs)["src"]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data + " "


def shown(value: Any) -> Reader:
    reader = Reader(value._repr_html_())
    assert not set(reader.tags) & {"script", "b id", "iframe", "link", "style"}
    assert all(source.startswith("data:image/png;base64,") for source in reader.sources), "nothing is fetched"
    return reader


def test_a_model_shows_what_it_is_and_what_is_on(sd1: Model) -> None:
    edit = UCE()(sd1, Concept("church"))
    assert "nothing" in shown(sd1).words and "Stable Diffusion" in shown(sd1).words
    with edit.on(sd1):
        assert edit.title in shown(sd1).words


def test_sites_show_the_first_and_how_many_more(sd1: Model) -> None:
    page = shown(sd1.sites.during(0, 0.5))
    assert f"{len(sd1.sites)} of {len(sd1.sites)}, during 0 to 0.5 of the steps" in page.words
    assert page.tags["tr"] == 13 and f"... {len(sd1.sites) - 12} more" in page.words
    assert "more" not in shown(sd1.sites.only(label="MID", level="module")).words


def test_changes_show_what_made_them(whole_sd1: Model) -> None:
    page = shown(0.5 * UCE()(whole_sd1, Concept("church")))
    assert "UCE (2025) of church × 0.50" in page.words and "9,984" in page.words
    assert page.tags["details"] == 1, "settings are folded"
    assert "it acts while pictures are drawn" in shown(NegativePrompt()(whole_sd1, Concept("church"))).words


def test_pictures_show_themselves_with_their_prompts_and_seeds(sd1: Model) -> None:
    pictures = sd1.generate(["a church", "a dog"], seeds=[3, 4], steps=1)
    page = shown(pictures)
    assert len(page.sources) == 2 and "a church, seed 3" in page.words and "a dog, seed 4" in page.words
    assert isinstance(pictures, list) and pictures[:1] == [pictures[0]]
    many = GeneratedPictures([pictures[0]] * 40, ["x"] * 40, range(40))
    assert len(shown(many).sources) == 32 and "... 8 more" in shown(many).words
    many.append(pictures[0])
    assert len(shown(many).sources) == 32


def test_a_finding_shows_its_sentences_its_plot_and_its_table(sd1: Model) -> None:
    finding = Maps(steps=1)(sd1, "a church")
    page = shown(finding)
    assert one_line(finding.summary()) in one_line(page.words) and len(page.sources) == 1
    assert page.tags["details"] == 1 and "church" in page.words


@pytest.mark.parametrize("words", [HOSTILE, "</td><script>alert(1)</script>", "a\x1b[2Jb\n\u202ec"])
def test_text_from_outside_is_text(sd1: Model, words: str) -> None:
    named = Model(sd1.pipeline, words)
    edit = Edit(
        {"unet.conv_in.bias": sd1.parameter("unet.conv_in.bias")}, Provenance(words, {words: words}, (Concept(words),))
    )
    pictures = GeneratedPictures([Image.new("RGB", (8, 8))], [words], [0])
    table = pl.DataFrame({words: [words]})
    for html in (
        named._repr_html_(),
        edit._repr_html_(),
        pictures._repr_html_(),
        notebook.table(table.columns, table.rows()),
    ):
        page = Reader(html)
        assert not set(page.tags) & {"script", "img src", "b><script"}
        assert "\x1b" not in html and "\u202e" not in html
