"""Choose which weights to zero by their scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from turpentine.core.errors import BadArgument, NotFinite
from turpentine.core.settings import Share, fits, range_of
from turpentine.edits import Zeroed
from turpentine.erase.common import Per


def largest(scores: Float[Tensor, "*shape"], share: float, per: Per = "row") -> Int[Tensor, " position"]:
    """Return the positions of the largest scores above 0, at most a share of all, in the flattened scores.

    Args:
        scores: A score of each weight; a row is an output neuron or channel, all weights that it adds up.
        share: The share to take, over 0 to 1.
        per: "row": round(share · n) of each row of n; if that comes to less than the share of the whole matrix, the
            best of the others make it up, at most one more from a row. "matrix": as many, wherever they are.
            "published": no more than share · n of each row, so that a share under 1/n takes nothing.

    Example:
        >>> scores = torch.tensor([[1.0, 3.0, 2.0, 0.5], [4.0, 6.0, 5.0, 0.1]])
        >>> sorted(largest(scores, 0.25).tolist()), sorted(largest(scores, 0.25, "matrix").tolist())
        ([1, 5], [5, 6])
    """
    rows = scores.flatten(1) if per != "matrix" else scores.reshape(1, -1)
    wide = rows.shape[1]
    each = math.floor(share * wide + (0 if per == "published" else 0.5))
    short = 0 if per == "published" else max(0, math.floor(share * rows.numel() + 0.5) - each * len(rows))
    best, column = rows.topk(min(wide, each + (short > 0)), dim=1)
    if short:
        last = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        last[best[:, -1].topk(short).indices] = True
        best[~last, -1] = 0
    row, place = (best > 0).nonzero(as_tuple=True)
    return row * wide + column[row, place]


def zero_largest(scores: Mapping[str, Tensor], share: float, per: Per = "row") -> dict[str, Zeroed]:
    """Return the positions of the largest scores of each weight, without the weights that have none.

    Args:
        scores: Scores by the weight's name.
        share: See `largest`.
        per: See `largest`.

    Raises:
        NotFinite: A score is NaN or infinite; the message names the weight.
        BadArgument: The share is out of range, or comes to no weight at all.
    """
    if not fits(share, Share):
        raise BadArgument(f"share is {share}: give {range_of(Share)}, such as 0.001 for a thousandth.")
    zeroed = {}
    for name, each in scores.items():
        if not torch.isfinite(each.sum()):
            raise NotFinite(f"The scores of {name} hold NaN or infinity: load the model in fp32, or check its weights.")
        positions = largest(each, share, per)
        if len(positions):
            zeroed[name] = Zeroed(tuple(each.shape), positions.sort().values)
    if not zeroed:
        raise BadArgument(f"A share of {share:g} of these weights comes to none of them: give a larger one.")
    return zeroed


def union(masks: Iterable[Mapping[str, Zeroed]]) -> dict[str, Zeroed]:
    """Return the positions that are zeroed in any of the masks."""
    merged: dict[str, Zeroed] = {}
    for mask in masks:
        for name, zeroed in mask.items():
            merged[name] = merged[name].union(zeroed) if name in merged else zeroed
    return merged
