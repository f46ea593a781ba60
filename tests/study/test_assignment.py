"""Who sees what: properties of the design, whatever the numbers."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turpentine.core.errors import BadArgument
from turpentine.study.assignment import blocks, meetings


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 6), st.integers(1, 50), st.integers(0, 99))
def test_every_item_goes_to_as_many_raters_and_to_none_twice(
    count: int, kinds: int, ratings: int, size: int, seed: int
) -> None:
    design = blocks([item % kinds for item in range(count)], ratings, size, seed, tries=2)
    assert Counter(item for block in design for item in block) == dict.fromkeys(range(count), ratings)
    assert all(len(set(block)) == len(block) for block in design)
    lengths = {len(block) for block in design}
    assert max(lengths) <= min(size, count) and max(lengths) - min(lengths) <= 1


def test_conditions_are_mixed_evenly_and_a_seed_decides_all() -> None:
    groups = [item % 5 for item in range(200)]
    design = blocks(groups, 5, 40, 7)
    for block in design:
        counts = Counter(groups[item] for item in block)
        assert max(counts.values()) - min(counts.values()) <= 4
    assert design == blocks(groups, 5, 40, 7)
    assert design != blocks(groups, 5, 40, 8)


def test_pairs_of_items_meet_about_as_often() -> None:
    counts = meetings(blocks(["a"] * 12, 12, 4, 0, tries=20))
    assert len(counts) >= 60  # of 66: with λ = 12 · 3/11 ≈ 3.3, few are left out by chance
    assert max(counts.values()) <= 9


def test_nothing_cannot_be_assigned() -> None:
    with pytest.raises(BadArgument, match="no items"):
        blocks([], 1, 1, 0)
