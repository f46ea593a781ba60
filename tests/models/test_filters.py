"""Filters around a model: what is drawn, what is left black, and what they never touch."""

from __future__ import annotations

import pytest
import torch

from turpentine.attack.budget import Budget, Meter
from turpentine.attack.victim import Victim
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.erase.filters import PictureFilter, PromptFilter
from turpentine.erase.guidance import SLD
from turpentine.models import Model, sample
from turpentine.models.filters import filters_of, is_blocked, steers

PROMPTS = ["a church", "a dog", "the CHURCH, red"]


def _bytes(model: Model, prompts: list[str] = PROMPTS) -> list[bytes]:
    return [each.tobytes() for each in model.generate(prompts, seeds=[0, 1, 2], steps=2)]


def test_a_prompt_that_names_the_concept_is_black_and_others_are_the_same_bit_by_bit(sd1: Model) -> None:
    plain = _bytes(sd1)
    with PromptFilter()(sd1, Concept("church")).on(sd1):
        images = sd1.generate(PROMPTS, seeds=[0, 1, 2], steps=2)
        assert [is_blocked(each) for each in images] == [True, False, True]
        assert images[1].tobytes() == plain[1] and images[0].size == images[1].size
        assert not is_blocked(sd1.generate("a churchyard", steps=1)[0])


def test_a_batch_of_which_nothing_comes_through_is_not_drawn(sd1: Model) -> None:
    reports: list[tuple[int, int]] = []
    meter = Meter(Budget())
    with PromptFilter(words=("dog",))(sd1, Concept("church")).on(sd1), meter.counting(sd1):
        images = sd1.generate(["a dog"] * 3, seeds=[0, 1, 2], steps=2, progress=lambda *each: reports.append(each))
    assert all(map(is_blocked, images)) and meter.spent.forward == 0 and reports[-1] == (6, 6)


def test_a_picture_that_is_like_the_concept_is_withheld(sd1: Model) -> None:
    """An independent reading: the cosine of the towers' vectors."""
    from turpentine.judges.towers import towers

    pictures = sd1.generate(PROMPTS, seeds=[0, 1, 2], steps=2)
    emoji = towers("emoji")
    cosines = (emoji.vectors(pictures) @ emoji.of_texts(["a church"]).T)[:, 0]
    middle = float(cosines.sort().values[1])
    with PictureFilter(threshold=middle, towers="emoji", text="a church")(sd1, Concept("church")).on(sd1):
        shown = sd1.generate(PROMPTS, seeds=[0, 1, 2], steps=2)
    assert [is_blocked(each) for each in shown] == (cosines >= middle).tolist() and sum(map(is_blocked, shown)) == 2


def test_filters_leave_predictions_and_other_guidances_alone(sd1: Model) -> None:
    sld = SLD(warmup=0, scale=5.0)(sd1, Concept("church"))
    both = PromptFilter()(sd1, Concept("dog"))

    def latents() -> torch.Tensor:
        *_, last = sample(sd1, sd1.encode(["a church"]), sd1.encode([""]), sd1.noise([0]), steps=2, guidance_scale=4.0)
        return last.x_next

    plain = latents()
    with both.on(sd1):
        assert torch.equal(latents(), plain) and not steers(sd1.guidance) and len(filters_of(sd1.guidance)) == 1
    with sld.on(sd1):
        led = latents()
        with both.on(sd1):
            assert torch.equal(latents(), led) and steers(sd1.guidance)
    assert not torch.equal(led, plain)


def test_a_filter_is_in_every_key_and_has_no_strength_between(sd1: Model) -> None:
    change = PromptFilter()(sd1, Concept("church"))
    assert Victim(sd1, (change,)).facts() != Victim(sd1).facts()
    for strength in (0.5, -1, 2):
        with pytest.raises(BadArgument, match=f"cannot have the strength {strength}: give 1, or 0"):
            change.scaled(strength)
    with change.scaled(0).on(sd1):
        assert not is_blocked(sd1.generate("a church", steps=1)[0])
    assert is_blocked(sd1.generate("a church", steps=1, guidance=change)[0])
