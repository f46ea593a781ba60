from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg

from turpentine.core.errors import BadArgument
from turpentine.stats import set_distances
from turpentine.stats.set_distances import MEASURES, clip_mmd, fid


def draws(n: int, d: int, seed: int, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) * scale + rng.normal(size=d)).astype(np.float32)


def plain_fid(a: np.ndarray, b: np.ndarray) -> float:
    """Equation 6 with covariances in loops and the root by the eigenvalues of their product."""
    a, b = a.astype(np.float64), b.astype(np.float64)

    def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = sum(x) / len(x)
        return mean, sum(np.outer(row - mean, row - mean) for row in x) / (len(x) - 1)

    (mean_a, cov_a), (mean_b, cov_b) = moments(a), moments(b)
    eigenvalues = np.linalg.eigvals(cov_a @ cov_b).astype(complex)
    root = float(np.sqrt(np.where(abs(eigenvalues) < 1e-9, 0, eigenvalues)).real.sum())
    return float(sum((mean_a - mean_b) ** 2) + np.trace(cov_a) + np.trace(cov_b) - 2 * root)


def plain_mmd(a: np.ndarray, b: np.ndarray) -> float:
    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return math.exp(-sum((float(p) - float(q)) ** 2 for p, q in zip(x, y, strict=True)) / (2 * 10**2))

    def mean(x: np.ndarray, y: np.ndarray) -> float:
        return sum(kernel(p, q) for p in x for q in y) / (len(x) * len(y))

    return 1000 * (mean(a, a) + mean(b, b) - 2 * mean(a, b))


@pytest.mark.parametrize(("n", "m", "d"), [(50, 40, 6), (9, 30, 12), (5, 4, 12)])
def test_fid_is_the_published_formula(n: int, m: int, d: int) -> None:
    a, b = draws(n, d, 0), draws(m, d, 1, scale=2)
    assert fid(a, b) == pytest.approx(plain_fid(a, b), rel=1e-6)


def test_fid_has_the_trace_of_scipys_square_root() -> None:
    a, b = draws(50, 6, 0).astype(np.float64), draws(40, 6, 1, scale=2).astype(np.float64)
    one, other = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(one @ other)
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(one + other - 2 * root.real)
    assert fid(a, b) == pytest.approx(float(expected), rel=1e-9)


def test_fid_of_one_feature_is_known() -> None:
    a, b = draws(30, 1, 0), draws(20, 1, 1)
    expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert fid(a, b) == pytest.approx(float(expected), rel=1e-5)


def test_fid_of_equal_sets_is_zero_and_of_a_shifted_one_the_shift() -> None:
    a = draws(60, 8, 0).astype(np.float64)
    assert fid(a, a) == pytest.approx(0, abs=1e-9)
    assert fid(a, a[::-1]) == pytest.approx(0, abs=1e-9)
    assert fid(a, a + 3) == pytest.approx(9 * 8)


def test_fid_does_not_depend_on_the_features_order_or_turn() -> None:
    a, b = draws(40, 5, 0).astype(np.float64), draws(40, 5, 1).astype(np.float64)
    turn = np.linalg.qr(draws(5, 5, 2).astype(np.float64))[0]
    assert fid(a @ turn, b @ turn) == pytest.approx(fid(a, b)) == pytest.approx(fid(b, a))


def test_mmd_is_the_published_formula_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = draws(13, 4, 0, scale=5), draws(9, 4, 1, scale=5)
    expected = plain_mmd(a, b)
    assert clip_mmd(a, b) == pytest.approx(expected, rel=1e-9)
    monkeypatch.setattr(set_distances, "_BLOCK", 5)
    assert clip_mmd(a, b) == pytest.approx(expected, rel=1e-9)


def test_mmd_of_equal_sets_is_zero_and_grows_with_the_shift() -> None:
    a = draws(30, 4, 0)
    assert clip_mmd(a, a[::-1].copy()) == pytest.approx(0, abs=1e-9)
    assert 0 < clip_mmd(a, a + 1) < clip_mmd(a, a + 4)


@pytest.mark.parametrize("name", list(MEASURES))
def test_sets_that_cannot_be_compared_are_errors(name: str) -> None:
    measure, a = MEASURES[name], draws(5, 3, 0)
    with pytest.raises(BadArgument, match="two networks"):
        measure(a, draws(5, 4, 0))
    with pytest.raises(BadArgument, match="too small"):
        measure(a, a[:0])
    broken = a.copy()
    broken[2, 1] = np.nan
    with pytest.raises(BadArgument, match="NaN"):
        measure(a, broken)
