"""The shared tokens of a model's encoders: which stand for text, which can be typed, and prompts made of them."""

from __future__ import annotations

import pytest
import torch

from turpentine.core.errors import BadArgument, UnsupportedModel
from turpentine.models.vocabulary import Vocabulary
from turpentine.testing.toys import WORDS, toy


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_prompts_of_tokens_are_those_of_their_texts(family: str) -> None:
    """With each encoder's own padding, so that both have the same states, bit for bit."""
    model = toy(family)
    words = Vocabulary(model)
    typed = model.family.tokenize(["a red church", "an ink dog"])
    rows = words.prompts(torch.tensor([words.ids_of("a red church"), words.ids_of("an ink dog")]))
    assert all(torch.equal(rows[name], typed[name]) for name in typed)
    with torch.no_grad():
        states = model.encode_tokens(rows).hidden
    assert torch.equal(states, model.encode(["a red church", "an ink dog"]).hidden)


def test_ordinary_tokens_are_all_but_the_special() -> None:
    model = toy("sd1")
    words = Vocabulary(model)
    start, end = model.family.tokenize([""])["text"][0, :2].tolist()
    assert set(words.ids.tolist()) == set(range(len(model.family.token_tables()["text"]))) - {start, end}


def test_rows_of_words_can_be_typed() -> None:
    words = Vocabulary(toy("sd1"))
    texts = {words.text([token]) for token in words.words.tolist()}
    assert texts >= {word for word in WORDS if len(words.ids_of(word)) == 1} and all(
        text.isprintable() for text in texts
    )
    dice = torch.Generator().manual_seed(0)
    for row in words.words[torch.randint(len(words.words), (20, 6), generator=dice)].tolist():
        assert words.round_trips(row)
    pieces = [token for token in words.ids.tolist() if token not in words.words.tolist()]
    assert pieces and not words.round_trips(pieces[:2])


def test_a_prompt_that_is_too_long_is_refused() -> None:
    words = Vocabulary(toy("sd1"))
    assert words.prompts(words.words[:14][None])["text"].shape == (1, 16)
    with pytest.raises(BadArgument, match="take 14 or fewer"):
        words.prompts(words.words[:15][None])


def test_encoders_of_different_vocabularies_are_refused() -> None:
    model = toy("sdxl")
    model.pipeline.tokenizer_2.add_tokens(["unheard"])
    with pytest.raises(UnsupportedModel, match="different vocabularies"):
        Vocabulary(model)
