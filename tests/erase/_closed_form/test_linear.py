"""The closed form: the minimiser of its objective, for all layers by one factorisation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from erase.counting import Operations
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from turpentine.core.errors import BadArgument
from turpentine.erase._closed_form.linear import Scales, Shift, gram, solve


def rows(seed: int, count: int, width: int) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain(weight: Tensor, keys: Tensor, targets: Tensor, preserved: Tensor, lamb: float, a: float, b: float) -> Tensor:
    """W = (λW₀ + a Σ v kᵀ + b Σ W₀ p pᵀ)(λI + a Σ k kᵀ + b Σ p pᵀ)⁻¹, term by term, less W₀."""
    width = weight.shape[1]
    left, right = lamb * weight, lamb * torch.eye(width, dtype=torch.float64)
    for k, g in zip(keys, targets, strict=True):
        left = left + a * torch.outer(weight @ g, k)
        right = right + a * torch.outer(k, k)
    for p in preserved:
        left = left + b * torch.outer(weight @ p, p)
        right = right + b * torch.outer(p, p)
    return left @ torch.linalg.inv(right) - weight


def objective(change: Tensor, weight: Tensor, keys: Tensor, targets: Tensor, preserved: Tensor, s: Scales) -> float:
    w = weight + change
    erased = sum(float((w @ k - weight @ g).square().sum()) for k, g in zip(keys, targets, strict=True))
    unmoved = sum(float((w @ p - weight @ p).square().sum()) for p in preserved)
    return s.erase * erased + s.preserve * unmoved + s.lamb * float(change.square().sum())


@settings(max_examples=30)
@given(st.integers(1, 12), st.integers(0, 9), st.integers(1, 9), st.integers(1, 7), st.integers(0, 99), st.data())
def test_it_is_the_plain_formula(n: int, n_preserved: int, width: int, out: int, seed: int, data: Any) -> None:
    lamb, a, b = (data.draw(st.floats(0.05, 4.0)) for _ in range(3))
    keys, targets, preserved = rows(seed, n, width), rows(seed + 1, n, width), rows(seed + 2, n_preserved, width)
    weight = rows(seed + 3, out, width)
    shift = solve(keys, targets, gram([preserved[:2], preserved[2:]]), scales=Scales(lamb, a, b))
    expected = plain(weight, keys, targets, preserved, lamb, a, b)
    torch.testing.assert_close(shift.delta(weight), expected, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(weight @ shift.matrix, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("n", [2, 7])  # few rows go through as thin products, many as one matrix
def test_no_other_change_is_better(n: int) -> None:
    keys, targets, preserved, weight = rows(0, n, 8), rows(1, n, 8), rows(2, 3, 8), rows(3, 5, 8)
    scales = Scales(0.3, 1.5, 0.7)
    shift = solve(keys, targets, gram([preserved]), scales=scales)
    best = shift.delta(weight)
    least = objective(best, weight, keys, targets, preserved, scales)
    for seed in range(5):
        for size in (1e-3, 1e-1):
            other = best + size * rows(10 + seed, 5, 8)
            assert objective(other, weight, keys, targets, preserved, scales) > least


def test_keys_come_to_their_targets_and_what_is_preserved_stays() -> None:
    keys, targets, preserved, weight = rows(0, 2, 12), rows(1, 2, 12), rows(2, 3, 12), rows(3, 5, 12)
    edited = weight + solve(keys, targets, gram([preserved]), scales=Scales(1e-9)).delta(weight)
    torch.testing.assert_close(keys @ edited.T, targets @ weight.T, rtol=0, atol=1e-6)
    torch.testing.assert_close(preserved @ edited.T, preserved @ weight.T, rtol=0, atol=1e-6)


def test_a_key_that_is_its_target_changes_nothing() -> None:
    keys = rows(0, 3, 6)
    assert not solve(keys, keys, scales=Scales(0.5)).delta(rows(1, 4, 6)).any()


def test_without_a_weight_what_is_preserved_does_not_count() -> None:
    keys, targets, weight = rows(0, 2, 6), rows(1, 2, 6), rows(3, 4, 6)
    free = solve(keys, targets, scales=Scales(0.5)).delta(weight)
    weightless = solve(keys, targets, gram([rows(2, 5, 6)]), scales=Scales(0.5, 1.0, 0.0)).delta(weight)
    assert torch.equal(free, weightless)
    assert gram([]) is None


def test_one_factorisation_serves_every_layer() -> None:
    with Operations() as operations:
        shift = solve(rows(0, 3, 16), rows(1, 3, 16), gram([rows(2, 50, 16)]), scales=Scales(0.5))
        for layer in range(20):
            shift.delta(rows(layer, 8, 16))
    assert operations.solving == {"linalg_cholesky_ex": 1, "cholesky_solve": 1}


def test_weights_of_any_kind_are_solved_in_double_precision() -> None:
    keys, targets = rows(0, 2, 6), rows(1, 2, 6)
    weight = rows(3, 4, 6).half()
    change = solve(keys, targets, scales=Scales(0.5)).delta(weight)
    assert change.dtype == torch.float64
    torch.testing.assert_close(change, plain(weight.double(), keys, targets, rows(0, 0, 6), 0.5, 1.0, 1.0))


def test_a_shift_may_be_of_any_number_of_factors() -> None:
    one, two = rows(0, 6, 6), rows(1, 6, 6)
    torch.testing.assert_close(Shift((one, two)).matrix, one @ two)
    torch.testing.assert_close(Shift((one,)).delta(two), two @ one)


@pytest.mark.parametrize(
    ("scales", "named"),
    [((0.0, 1.0, 1.0), "lamb is 0.0"), ((0.5, -1.0, 1.0), "erase is -1"), ((0.5, 1.0, -0.1), "preserve is -0")],
)
def test_scales_out_of_range_are_refused(scales: tuple[float, float, float], named: str) -> None:
    with pytest.raises(BadArgument, match=named):
        Scales(*scales)
    with pytest.raises(BadArgument):
        Scales(float("nan"))


def test_a_lamb_that_double_precision_cannot_see_is_refused() -> None:
    with pytest.raises(BadArgument, match="larger"):
        solve(1e3 * rows(0, 3, 40), rows(1, 3, 40), scales=Scales(1e-30))
