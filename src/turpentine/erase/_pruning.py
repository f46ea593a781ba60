"""Which weights to zero, given a score of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from turpentine.core.errors import BadArgument, NotFinite
from turpentine.edits import Zeroed
from turpentine.erase.common import Per


def largest(scores: Float[Tensor, "*shape"], share: float, per: Per = "row") -> Int[Tensor, " position"]:
    """Positions of the largest scores above 0, at most a share of them, as indices into the flattened scores.

    A row is an output neuron or channel: all weights that it adds up.
    "row": round(share · n) of each row of n. Where that comes to less than the share of the whole matrix, the best of
        those that are left make it up, one more from a row at most.
    "matrix": as many, wherever they are. "published": no more than share · n of each row, so that a share under 1/n
        takes nothing.
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


def zeroed_by(scores: Mapping[str, Tensor], share: float, per: Per = "row") -> dict[str, Zeroed]:
    """The largest scores of each weight as zeroed positions; weights without any are left out.

    Raises NotFinite, naming the weight; BadArgument if the share is none, or so small that nothing is left.
    """
    check_share(share)
    zeroed = {}
    for name, each in scores.items():
        if not torch.isfinite(each.sum()):
            raise NotFinite(f"The scores of {name} hold NaN or infinity: load the model in fp32, or check its weights.")
        positions = largest(each, share, per)
        if len(positions):
            zeroed[name] = Zeroed(tuple(each.shape), positions.sort().values)
    return _some(zeroed, share)


def together(masks: Iterable[Mapping[str, Zeroed]]) -> dict[str, Zeroed]:
    """What is zeroed in any of them."""
    found: dict[str, Zeroed] = {}
    for mask in masks:
        for name, zeroed in mask.items():
            before = [found[name].positions] if name in found else []
            found[name] = Zeroed(zeroed.shape, torch.unique(torch.cat([*before, zeroed.positions])))
    return found


def check_share(share: float) -> None:
    """Raise BadArgument unless it is over 0 and up to 1."""
    if not 0 < share <= 1:
        raise BadArgument(f"share is {share}: give a number over 0 and up to 1, such as 0.001 for a thousandth.")


def _some(zeroed: dict[str, Zeroed], share: float) -> dict[str, Zeroed]:
    if not zeroed:
        raise BadArgument(f"A share of {share:g} of these weights comes to none of them: give a larger one.")
    return zeroed
