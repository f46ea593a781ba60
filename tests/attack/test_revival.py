"""Zeros filled from the weights around them, against plain numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from turpentine.attack._filling import low_rank_filled, mean_filled
from turpentine.attack.attacked import Attacked
from turpentine.attack.revival import Revival
from turpentine.attack.trial import Trial
from turpentine.attack.victim import Victim
from turpentine.edits import Edit
from turpentine.edits.zeroed import Zeroed
from turpentine.models import Model
from turpentine.testing.contracts.attack import CoinJudge
from turpentine.testing.toys import toy

NAME = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"
QUICK = Trial(steps=1, pictures=1)


@pytest.fixture(scope="module")
def model() -> Model:
    return toy("sd1")


def holes(matrix: torch.Tensor, every: int) -> torch.Tensor:
    return torch.where(torch.arange(matrix.numel()).reshape(matrix.shape) % every == 0, 0.0, matrix)


def imputed(matrix: Any, rank: int, rounds: int) -> Any:
    """Hard-impute as it is written: the best approximation of a rank, its own entries back, again."""
    missing, full = matrix == 0, matrix.astype(np.float64).copy()
    for row in range(len(full)):
        there = full[row][~missing[row]]
        full[row][missing[row]] = there.mean() if len(there) else 0
    for _ in range(rounds):
        u, s, v = np.linalg.svd(full)
        best = sum(s[k] * np.outer(u[:, k], v[k]) for k in range(rank))
        full[missing] = best[missing]
    return full


def test_a_low_rank_is_filled_as_it_is_published() -> None:
    matrix = holes(torch.randn(12, 9, generator=torch.Generator().manual_seed(0)), 5)
    filled = low_rank_filled(matrix, 3, 4)
    np.testing.assert_allclose(filled.numpy(), imputed(matrix.numpy(), 3, 4), rtol=1e-4, atol=1e-5)
    assert torch.equal(filled[matrix != 0], matrix[matrix != 0])


def test_a_matrix_of_low_rank_comes_back() -> None:
    dice = torch.Generator().manual_seed(1)
    whole = torch.randn(30, 2, generator=dice) @ torch.randn(2, 30, generator=dice)
    torch.testing.assert_close(low_rank_filled(holes(whole, 7), 2, 200), whole, rtol=0, atol=1e-2)
    assert (mean_filled(holes(whole, 7)) - whole).abs().max() > 0.5


def revived(model: Model, *changes: Any, **settings: Any) -> Attacked:
    return Revival(**settings)(Victim(model, changes), "church", judge=CoinJudge(), trial=QUICK)


def test_it_fills_what_an_edit_zeroed_and_nothing_else(model: Model) -> None:
    weight = model.parameter(NAME).detach().clone()
    positions = torch.arange(0, weight.numel(), 7)
    edit = Edit(zeroed={NAME: Zeroed(tuple(weight.shape), positions)})
    outcome = revived(model, edit, fill="mean")
    assert isinstance(outcome.artefact, Edit) and outcome.artefact.names == (NAME,)
    assert outcome.measurements["zeros"] == len(positions) and outcome.spent.forward == 0
    with edit.on(model), outcome.artefact.on(model):
        after = model.parameter(NAME).detach().clone()
    expected = weight.clone().flatten()
    expected[positions] = 0
    torch.testing.assert_close(after, mean_filled(expected.reshape(weight.shape)))
    assert torch.equal(model.parameter(NAME), weight)


def test_without_a_zero_it_changes_nothing_and_says_so(model: Model) -> None:
    edit = Edit({NAME: torch.ones_like(model.parameter(NAME))})
    outcome = revived(model, edit)
    assert isinstance(outcome.artefact, Edit) and not any(delta.any() for delta in outcome.artefact.deltas.values())
    assert outcome.measurements["zeros"] == 0 and "zeros 0" in outcome.summary()
