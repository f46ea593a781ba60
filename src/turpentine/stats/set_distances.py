"""Distances of two sets of pictures by the features of each: FID and CMMD, in fp64.

scipy has a square root of a matrix (`linalg.sqrtm`) but no Fréchet distance. FID needs the trace of a root only, which
the singular values of the features give: it stays exact for fewer pictures than features, where Σ_a Σ_b is singular and
sqrtm fails or turns complex, and it takes no matrix of features × features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from turpentine.core.errors import BadArgument

Vectors: TypeAlias = Float[np.ndarray, "_ _"]
"""A vector for each picture; sets that differ in width are refused by an error of ours, so shapes are not checked."""

SIGMA = 10.0
"""Width of the kernel of CLIP-MMD; the published one."""

SCALE = 1000.0
"""CLIP-MMD is published times this."""

_BLOCK = 2048


def fid(a: Vectors, b: Vectors) -> float:
    """Return the Fréchet distance of Gaussians fitted to two sets.

    ‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2·(Σ_a Σ_b)^½): Heusel et al. 2017, arXiv 1706.08500, equation 6; covariances are over
    n − 1. The published numbers are of an Inception network's features: those of another network have another scale.
    FID falls as sets grow: compare numbers of sets of one size only.

    Args:
        a: Features of each picture of one set, as the judge `Features` gives them in its column; 2 pictures or more.
        b: Features of the other set.

    Returns:
        The distance, 0 or more.

    Raises:
        BadArgument: A set is too small, the widths differ, or a feature is NaN or infinite.

    Example:
        >>> a = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])
        >>> round(fid(a, a + 3), 6)
        18.0
    """
    a, b = _checked(a, b, at_least=2)
    means = float(np.square(a.mean(axis=0) - b.mean(axis=0)).sum())
    root_a, root_b = _root(a), _root(b)
    # Σ_a Σ_b has the eigenvalues of (R_a R_bᵀ)(R_a R_bᵀ)ᵀ: the trace of its root is a sum of singular values.
    cross = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    return max(0.0, means + float(np.square(root_a).sum() + np.square(root_b).sum() - 2 * cross))


def clip_mmd(a: Vectors, b: Vectors) -> float:
    """Return CMMD, the maximum mean discrepancy of two sets of CLIP's vectors, times 1000.

    1000 · (mean k(a, a') + mean k(b, b') − 2 · mean k(a, b)), k(x, y) = exp(−‖x − y‖² / 2σ²), σ = 10: Jayasumana et al.
    2024, arXiv 2401.09603, with the estimator of their code, whose means hold the pairs of a picture with itself
    (Gretton et al. 2012, equation 5). The published numbers are of "openai/clip-vit-large-patch14-336".
    Needs memory for a few thousand rows of pairs at a time.

    Args:
        a: Unit vectors of the pictures of one set, as the judge `Features` of "clip" gives them; 1 picture or more.
        b: Unit vectors of the other set.

    Returns:
        The distance, 0 or more.

    Raises:
        BadArgument: A set is empty, the widths differ, or a feature is NaN or infinite.

    Example:
        >>> a = np.array([[1.0, 0.0], [0.0, 1.0]])
        >>> clip_mmd(a, a)
        0.0
    """
    a, b = _checked(a, b, at_least=1)
    return max(0.0, SCALE * (_mean_kernel(a, a) + _mean_kernel(b, b) - 2 * _mean_kernel(a, b)))


MEASURES: Mapping[str, Callable[[Vectors, Vectors], float]] = {"fid": fid, "clip-mmd": clip_mmd}
"""Measures of two sets of features by name; both are 0 for equal sets, and lower is nearer."""


def _checked(a: Vectors, b: Vectors, at_least: int) -> tuple[Vectors, Vectors]:
    if a.shape[1] != b.shape[1]:
        raise BadArgument(
            f"Features of {a.shape[1]} and of {b.shape[1]} numbers are of two networks: use one for both."
        )
    if min(len(a), len(b)) < at_least:
        raise BadArgument(f"Sets of {len(a)} and {len(b)} pictures are too small: give {at_least} or more of each.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise BadArgument("Some features are NaN or infinite: leave broken pictures out.")
    return a.astype(np.float64), b.astype(np.float64)


def _root(x: Float[np.ndarray, "picture feature"]) -> Float[np.ndarray, "rank feature"]:
    """Return R with RᵀR = the covariance, of no more rows than there are features."""
    centred = (x - x.mean(axis=0)) / np.sqrt(len(x) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r"))


def _mean_kernel(a: Vectors, b: Vectors) -> float:
    squares = np.square(b).sum(axis=1)
    total = 0.0
    for start in range(0, len(a), _BLOCK):
        part = a[start : start + _BLOCK]
        apart = np.square(part).sum(axis=1)[:, None] + squares - 2 * part @ b.T
        total += float(np.exp(-apart / (2 * SIGMA**2)).sum())
    return total / (len(a) * len(b))
