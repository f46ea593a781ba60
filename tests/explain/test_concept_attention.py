"""Maps of concepts: what they add up to, what they are made of, and which concepts there may be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from turpentine.core.errors import BadArgument, EmptyConcept
from turpentine.explain.concept_attention import ConceptAttention, concept_states
from turpentine.models import Model
from turpentine.testing.toys import tiny_sd3, toy

PROMPTS = ["a church", "a church", "a red dog"]


@pytest.fixture(scope="module")
def flux() -> Model:
    return toy("flux")


@pytest.fixture(params=["sd3", "flux"])
def model(request: pytest.FixtureRequest, flux: Model) -> Model:
    return flux if request.param == "flux" else Model(tiny_sd3(t5=False))


def test_maps_are_shares_of_each_pixel_and_no_matter_of_the_batch(model: Model) -> None:
    instrument = ConceptAttention(words=("church", "dog", "red"), steps=2)
    finding = instrument(model, PROMPTS, [0, 1, 2])
    plain = model.generate(PROMPTS, seeds=[0, 1, 2], steps=2)
    for heats, image, other in zip(finding.heats, finding.images, plain, strict=True):
        assert list(heats) == ["church", "dog", "red"] and image.tobytes() == other.tobytes()
        # Bicubic interpolation of shares adds up to 1, but for what it takes below zero.
        np.testing.assert_allclose(sum(heats.values()), 1, atol=1e-3)
    alone = ConceptAttention(words=("church", "dog", "red"), steps=2, batch_size=1)(model, PROMPTS, [0, 1, 2])
    for heats, others in zip(finding.heats, alone.heats, strict=True):
        assert all(np.allclose(heats[word], others[word], atol=1e-5) for word in heats)


def test_a_prompts_own_words_are_its_concepts_and_the_concept_is_one(flux: Model) -> None:
    finding = ConceptAttention(steps=1)(flux, ["a red dog", "a church"], [0, 1], concept="house")
    assert [list(heats) for heats in finding.heats] == [["a", "red", "dog", "house"], ["a", "church", "house"]]
    assert finding.concept == "house" and "house" in finding.summary()


def test_a_concept_is_read_as_its_word_alone(flux: Model) -> None:
    """By T5, at the word's own token; that of two is their mean."""
    one, two = concept_states(flux, ["church", "red dog"])
    hidden = flux.encode(["church", "red dog"]).hidden
    torch.testing.assert_close(one, hidden[0, 0])
    torch.testing.assert_close(two, hidden[1, :2].mean(0))


def test_blocks_may_be_chosen_and_the_last_fifth_is_the_default(flux: Model) -> None:
    default = ConceptAttention(steps=1)(flux, "a dog", 0)
    chosen = ConceptAttention(steps=1, sites="BLOCK1")(flux, "a dog", 0)
    assert np.array_equal(default.heats[0]["dog"], chosen.heats[0]["dog"])


def test_one_concept_and_a_word_without_a_token_are_refused(flux: Model) -> None:
    with pytest.raises(BadArgument, match="give two or more words"):
        ConceptAttention(steps=1)(flux, "dog", 0)
    with pytest.raises(EmptyConcept, match="no token for the concept '猫'"):
        ConceptAttention(steps=1, words=("猫", "dog"))(flux, "a dog", 0)
    single = flux.sites.only(label="BLOCK2", kind="joint-attention", level="module")
    with pytest.raises(BadArgument, match="holds no joint block with weights of the text's own"):
        ConceptAttention(steps=1, sites=single)(flux, "a dog", 0)
