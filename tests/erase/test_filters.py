"""The settings of filters, and a filter on the embedded model."""

from __future__ import annotations

import turpentine as tp
from turpentine.concepts import Concept
from turpentine.edits import GuidanceChange, load_change
from turpentine.erase.filters import PictureFilter, PromptFilter
from turpentine.judges.towers import CLIP
from turpentine.models.filters import is_blocked


def test_words_and_texts_are_the_concepts_own_where_none_are_given() -> None:
    concepts = (Concept("church"), Concept("golf flag"))
    assert PromptFilter().guidance(concepts).words == ("church", "golf flag")  # type: ignore[attr-defined]
    assert PromptFilter(words=("steeple",)).guidance(concepts).words == ("steeple",)  # type: ignore[attr-defined]
    texts = PictureFilter().guidance(concepts).texts  # type: ignore[attr-defined]
    assert texts == tuple(prompt for concept in concepts for prompt in concept.prompts)
    assert PictureFilter().towers == CLIP and PictureFilter.preset("emoji").towers == "emoji"


def test_the_embedded_models_churches_are_withheld_and_its_dogs_shown(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model = tp.load()
    change = PictureFilter.preset(model)(model, Concept("church"))
    change.save(tmp_path / "filter.json")
    again = load_change(tmp_path / "filter.json")
    assert again == change and isinstance(again, GuidanceChange)
    with again.on(model):
        churches = model.generate(["a church"] * 8, seeds=list(range(8)), steps=8, guidance_scale=4.0)
        dogs = model.generate(["a dog"] * 8, seeds=list(range(8)), steps=8, guidance_scale=4.0)
    assert sum(map(is_blocked, churches)) >= 6 and sum(map(is_blocked, dogs)) <= 1
