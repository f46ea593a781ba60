"""Which weights are zeroed, given scores: counted by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from turpentine.core.errors import BadArgument, NotFinite
from turpentine.core.settings import field_types, fits, range_of
from turpentine.edits import Zeroed
from turpentine.erase._pruning import largest, union, zero_largest
from turpentine.erase.cad import CAD


def plain(scores: list[list[float]], share: float, per: str) -> set[int]:
    """The rule as one would write it down, in lists."""
    wide = len(scores[0])
    total = math.floor(share * wide * len(scores) + 0.5)
    if per == "matrix":
        every = sorted(((s, r * wide + c) for r, row in enumerate(scores) for c, s in enumerate(row)), reverse=True)
        return {at for s, at in every[:total] if s > 0}
    each = math.floor(share * wide) if per == "published" else math.floor(share * wide + 0.5)
    chosen, next_best = set(), []
    for r, row in enumerate(scores):
        order = sorted(range(wide), key=lambda c: -row[c])
        chosen |= {r * wide + c for c in order[:each] if row[c] > 0}
        next_best += [(row[c], r * wide + c) for c in order[each : each + 1]]
    if per == "row" and each * len(scores) < total:
        missing = total - each * len(scores)
        chosen |= {at for s, at in sorted(next_best, reverse=True)[:missing] if s > 0}
    return chosen


@given(
    st.integers(1, 6),
    st.integers(1, 12),
    st.sampled_from([0.01, 0.05, 0.1, 0.13, 0.25, 0.5, 0.77, 1.0]),
    st.sampled_from(["row", "matrix", "published"]),
    st.integers(0, 10**6),
)
def test_the_largest_are_chosen_as_the_rule_says(rows: int, wide: int, share: float, per: str, seed: int) -> None:
    scores = torch.randn(rows, wide, generator=torch.Generator().manual_seed(seed))
    assert set(largest(scores, share, per).tolist()) == plain(scores.tolist(), share, per)  # type: ignore[arg-type]


def test_rows_that_are_shorter_than_a_share_are_made_up_for() -> None:
    scores = torch.rand(2560, 320, generator=torch.Generator().manual_seed(0)) + 0.1
    assert len(largest(scores, 0.001, "published")) == 0  # as CAD's code has it: 0.32 of a weight is none
    found = largest(scores, 0.001, "row")
    assert len(found) == 819  # 0.001 · 2560 · 320
    assert len(set((found // 320).tolist())) == 819  # one from a row at most
    assert len(largest(scores, 0.01, "row")) == 2560 * 3 + 512  # 3.2 of each row


def test_a_convolutions_row_is_all_that_an_output_channel_adds_up() -> None:
    scores = torch.randn(4, 5, 3, 3, generator=torch.Generator().manual_seed(1))
    assert set(largest(scores, 0.1, "row").tolist()) == plain(scores.flatten(1).tolist(), 0.1, "row")


def test_only_scores_above_zero_are_chosen_and_empty_weights_left_out() -> None:
    zeroed = zero_largest({"a": -torch.ones(4, 4), "b": torch.eye(4)}, 0.5)
    assert set(zeroed) == {"b"}
    assert torch.equal(zeroed["b"].mask(), torch.eye(4, dtype=torch.bool))
    with pytest.raises(BadArgument, match="comes to none"):
        zero_largest({"a": -torch.ones(4, 4)}, 0.5)
    with pytest.raises(BadArgument, match=r"share is 0\.0"):
        zero_largest({"a": torch.ones(4, 4)}, 0.0)
    per = field_types(CAD)["per"]
    assert not fits("column", per) and range_of(per) == "one of row, matrix, published"
    with pytest.raises(NotFinite, match="scores of a "):
        zero_largest({"a": torch.tensor([[1.0, float("nan")]])}, 0.5)


def test_masks_are_united() -> None:
    one, two = Zeroed((2, 3), torch.tensor([0, 4])), Zeroed((2, 3), torch.tensor([1, 4]))
    united = union([{"a": one}, {"a": two, "b": one}])
    assert united["a"].positions.tolist() == [0, 1, 4]
    assert united["b"].positions.tolist() == [0, 4]
