"""The aligned form: which token stands for which, and that the edit is the least squares it says it is."""

from __future__ import annotations

import pytest
import torch

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.erase._captions import caption_pairs_of
from turpentine.erase._closed_form.aligned import counterparts
from turpentine.erase._closed_form.uce_objective import FORMS, UCEObjective
from turpentine.erase.uce import UCE
from turpentine.models import Model
from turpentine.testing.toys import tiny_flux_2_dev, toy


def test_a_rest_that_begins_the_caption_has_each_token_in_its_place(sd1: Model) -> None:
    end = sd1.text.find("a dog").end
    assert counterparts(sd1.text, "a dog in ink style", "a dog") == [(n, n) for n in range(end, sd1.text.length)]
    assert counterparts(sd1.text, "church", "") == [(n, n) for n in range(1, sd1.text.length)]


@pytest.mark.parametrize("family", ["sd1", "flux2"])
def test_words_after_the_concept_are_their_own_wherever_they_move_to(family: str) -> None:
    """Also in a chat, which has more tokens before a prompt than a start."""
    text, caption, rest = toy(family).text, "a gas pump in flat style", "a picture in flat style"
    found = dict(counterparts(text, caption, rest))
    for words in ("flat", "style"):
        places, others = text.find(caption, words), text.find(rest, words)
        assert found[places.last] == others.last
    assert found[text.find(caption).end] == text.find(rest).end
    concept, stands = text.find(caption, "gas pump").subject, text.find(rest, "picture")
    assert all(found[place] in (place, stands.last) for place in concept)
    assert min(found) == concept[0]  # "a" before it reads alike


@pytest.mark.parametrize(
    ("caption", "rest"),
    [("a church and a dog", "a church"), ("a red church on blue", "a house on blue"), ("a church", ""), ("red", "dog")],
)
def test_padding_before_prompts_moves_their_tokens_and_pairs_none(caption: str, rest: str) -> None:
    """Pairs are those of padding behind, but that behind the rest's last token there is nothing."""
    left, right = (Model(tiny_flux_2_dev(side=side)).text for side in ("left", "right"))
    padding, other = (left.find(prompt).padding for prompt in (caption, rest))
    last = left.length - other - 1
    pairs = [(a, min(b, last)) for a, b in counterparts(right, caption, rest) if a < left.length - padding]
    assert other > 0 and counterparts(left, caption, rest) == [(padding + a, other + b) for a, b in pairs]


def test_the_aligned_edit_minimises_its_objective(sd1: Model) -> None:
    """Against a least-squares fit of the same means, over rows stacked with the square roots of their weights."""
    concept = Concept("church", templates=("a {} on a hill",), keep=("dog",))
    edit = UCE(variant="aligned", templates=(), lamb=0.2, preserve_scale=0.3)(sd1, concept)
    name = edit.names[0]
    old = sd1.parameter(name).double()
    caption, rest = sd1.encode(["a church on a hill", "on a hill"]).hidden.double()
    pairs = counterparts(sd1.text, "a church on a hill", "on a hill")
    keys, targets = caption[[a for a, _ in pairs]], rest[[b for _, b in pairs]]
    kept = sd1.encode(["", "a dog on a hill"]).hidden.double().flatten(0, 1)
    weight = (0.3 / 2) ** 0.5
    x = torch.cat([keys, weight * kept, 0.2**0.5 * torch.eye(old.shape[1], dtype=torch.float64)])
    y = torch.cat([targets @ old.T, weight * kept @ old.T, 0.2**0.5 * old.T])
    new = torch.linalg.lstsq(x, y).solution.T
    torch.testing.assert_close(old + edit.deltas[name].double(), new, rtol=1e-4, atol=1e-5)


def test_an_article_before_nothing_goes_with_the_concept() -> None:
    caption_pairs = caption_pairs_of(Concept("owl", templates=("an {} at night", "a photo of an {}", "{}")), "own")
    assert [pair.rest for pair in caption_pairs] == ["at night", "a photo of", ""]
    guided = caption_pairs_of(Concept("owl"), "own", ("a photo of a {}",), guide="bird")
    assert [pair.rest for pair in guided] == ["a photo of a bird"]


def test_settings_that_the_form_would_pass_over_are_refused(sd1: Model) -> None:
    for changes, named in (
        ({"captions": "named"}, "captions"),
        ({"variant": "aligned", "captions": "named", "guide": "castle"}, "guide"),
        ({"variant": "aligned", "expand_guides": True}, "expand_guides"),
        ({"eta": 0.5}, "eta"),
        ({"variant": "aligned", "eta": -1.0}, "eta"),
    ):
        with pytest.raises(BadArgument, match=named):
            UCE(**changes)(sd1, Concept("church"))


def test_a_small_model_learns_from_the_worlds_captions_and_the_rest_is_preserved(sd1: Model) -> None:
    assert UCE.preset(sd1, variant="aligned") == UCE(
        variant="aligned", captions="named", lamb=0.1, eta=0.25, templates=(), guide=""
    )
    objective = UCEObjective.of(
        FORMS["aligned"], [Concept("ink", "style")], guide="", preserve=(), templates=(), captions="named"
    )
    assert ("a dog in ink style", "a dog") in {(a.prompt, b.prompt) for a, b in objective.pairs}
    assert "a picture in flat style" in {each.prompt for each in objective.preserved}


def test_eta_goes_beyond_what_is_left_as_a_larger_edit_does(sd1: Model) -> None:
    plain, beyond = (UCE(variant="aligned", eta=eta)(sd1, Concept("church")) for eta in (0.0, 0.5))
    for name, delta in plain.deltas.items():
        torch.testing.assert_close(beyond.deltas[name], 1.5 * delta, rtol=1e-4, atol=1e-6)
