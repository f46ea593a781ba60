"""MMA's search against plain code and finite differences, with which its authors' gradient does not agree."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from attack.searches import search_of, stages_of

from turpentine.attack._token_walk import Walk, candidates_of
from turpentine.attack.mma import MMA
from turpentine.core.errors import BadArgument
from turpentine.models import Artefact, Model
from turpentine.testing.toys import toy

SMALL = MMA(tokens=4, updates=6, top_k=8, candidates=24, stages=6)


@pytest.fixture(scope="module")
def model() -> Model:
    return toy("sd1")


def loss_of(model: Model, text: str, target: str = "a church") -> float:
    """1 − cos of the pooled states, on the pipeline's own encoder."""

    def pooled(prompt: str) -> torch.Tensor:
        rows = model.pipeline.tokenizer(prompt, padding="max_length", max_length=16, return_tensors="pt")
        result: torch.Tensor = model.pipeline.text_encoder(rows.input_ids).pooler_output[0]
        return result

    return 1 - float(torch.nn.functional.cosine_similarity(pooled(text), pooled(target), dim=0))


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_the_gradient_of_a_choice_agrees_with_finite_differences(family: str) -> None:
    """That of each word's own row: one row off, such as with the start token counted in, does not."""
    model = toy(family)
    walk = Walk(SMALL, search_of(model))
    slope = walk.slope(walk.now)
    numeric = torch.stack([_numeric(model, walk, place) for place in range(4)])
    torch.testing.assert_close(slope[:, :5], numeric, rtol=2e-2, atol=2e-3 * float(slope.abs().max()))
    assert not torch.allclose(slope[:-1, :5], numeric[1:], rtol=2e-2, atol=2e-2 * float(slope.abs().max()))


def _numeric(model: Model, walk: Walk, place: int, step: float = 1e-2) -> torch.Tensor:
    """Return (L(e + h·E_v) − L(e − h·E_v))/2h for the first words v, by what the encoders read."""
    tables = walk._tables
    ids = walk._vocabulary.prompts(walk._allowed[walk.now][None])
    plain = model.family.embed_tokens(ids)

    def loss(word: int, sign: int) -> float:
        vectors = {name: rows.clone() for name, rows in plain.items()}
        for name, rows in vectors.items():
            rows[0, 1 + place] += sign * step * tables[name][word]
        with torch.no_grad():
            return float(walk._losses(model.encode_tokens(ids, vectors)))

    return torch.tensor([(loss(word, 1) - loss(word, -1)) / (2 * step) for word in range(5)])


def test_candidates_differ_in_one_word_of_the_best_of_its_row() -> None:
    now, dice = torch.tensor([3, 1, 4]), torch.Generator().manual_seed(0)
    slope = torch.randn(3, 9, generator=dice)
    rows = candidates_of(now, slope, 2, 12, torch.Generator().manual_seed(1))
    picks = torch.randint(2, (12,), generator=torch.Generator().manual_seed(1)).tolist()
    for number, row in enumerate(rows.tolist()):
        place = number * 3 // 12
        best = sorted(range(9), key=lambda word, place=place: float(slope[place, word]))[:2]
        expected = [3, 1, 4]
        expected[place] = best[picks[number]]
        assert row == expected


def test_the_best_is_remembered_and_is_what_its_text_gives(model: Model) -> None:
    search = search_of(model)
    stages = stages_of(SMALL, search)
    losses = [stage.measurements["loss"] for stage in stages]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]
    best = stages[-1].artefact
    assert isinstance(best, Artefact) and best.round_trips(model)
    assert losses[-1] == pytest.approx(loss_of(model, best.prompts[0]), rel=1e-3)
    assert search.meter.spent.text == SMALL.cost(search.trial).text and search.meter.spent.forward == 0


def test_it_goes_on_from_the_least_of_a_step_even_if_it_is_worse(model: Model) -> None:
    """With one candidate the walk takes every step that is drawn, and the best is not its last."""
    stages = stages_of(MMA(tokens=4, updates=8, top_k=8, candidates=1, stages=8), search_of(model))
    walked = [stage.state["now"].tolist() for stage in stages]
    assert sum(one != other for one, other in pairwise(walked)) > 3
    assert stages[-1].state["best"].tolist() in walked


def test_no_word_of_the_result_holds_a_blocked_one(model: Model) -> None:
    blocked = ("church", "o", "a")
    (stage,) = stages_of(MMA(tokens=4, updates=3, candidates=24, blocked=blocked, stages=1), search_of(model))
    assert isinstance(stage.artefact, Artefact)
    assert not any(each in stage.artefact.prompts[0] for each in blocked)
    (own,) = stages_of(MMA(tokens=4, updates=3, candidates=24, stages=1), search_of(model))
    assert isinstance(own.artefact, Artefact) and "church" not in own.artefact.prompts[0]
    (free,) = stages_of(MMA(tokens=2, updates=9, candidates=200, blocked=("saw",), stages=1), search_of(model))
    assert isinstance(free.artefact, Artefact) and "church" in free.artefact.prompts[0]
    with pytest.raises(BadArgument, match="block fewer"):
        stages_of(MMA(blocked=tuple("abcdefghijklmnopqrstuvwxyz")), search_of(model))
