"""Who sees what: every item goes to as many raters, every rater sees as many items, and conditions are mixed evenly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import combinations, pairwise
from math import ceil

import numpy as np

from turpentine.core.errors import BadArgument

TRIES = 8
_PAIRS = 4_000_000
"""Above so many pairs within blocks the first design is taken: counting them would take a minute."""


def blocks(
    groups: Sequence[Hashable], ratings: int, size: int, seed: int, tries: int = TRIES
) -> tuple[tuple[int, ...], ...]:
    """Return the items of each rater: blocks in which each item stands `ratings` times, and never twice in one.

    Items are dealt out round by round. In a round those of a group, such as a condition, are spread evenly, so that a
    block has about as many of each. Of some designs by chance the one is taken in which pairs meet most evenly.

    Args:
        groups: Of each item.
        ratings: Raters for each item.
        size: Items for each rater; the last blocks may have one fewer.
        seed: Of all chance.
        tries: Designs to choose from.

    Raises:
        BadArgument: There are no items.

    Example:
        >>> design = blocks("aaabbb", ratings=2, size=4, seed=0)
        >>> [len(block) for block in design], sorted(item for block in design for item in block)
        ([4, 4, 4], [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    """
    if not groups:
        raise BadArgument("There are no items to assign.")
    size = min(size, len(groups))
    count = max(ratings, ceil(len(groups) * ratings / size))
    if len(groups) * ratings * size > _PAIRS:
        tries = 1
    designs = [_design(groups, ratings, count, np.random.default_rng([seed, each])) for each in range(tries)]
    return min(designs, key=_unevenness)


def _design(
    groups: Sequence[Hashable], ratings: int, count: int, rng: np.random.Generator
) -> tuple[tuple[int, ...], ...]:
    """Return one design: rounds of all items, cut into blocks of equal length."""
    whole: list[int] = []
    ends = np.linspace(0, len(groups) * ratings, count + 1).round().astype(int)
    starts = [int(each) for each in ends]
    for _ in range(ratings):
        begin = max(start for start in starts if start <= len(whole))
        turn = _spread(groups, rng)
        whole += _without_repeats(turn, set(whole[begin:]), next(s for s in starts if s > len(whole)) - len(whole))
    return tuple(tuple(whole[one:other]) for one, other in pairwise(starts))


def _spread(groups: Sequence[Hashable], rng: np.random.Generator) -> list[int]:
    """Return all items by chance, those of each group at even distances."""
    members: dict[Hashable, list[int]] = {}
    for item, group in enumerate(groups):
        members.setdefault(group, []).append(item)
    places: list[tuple[float, float, int]] = []
    for group_items in members.values():
        shift = rng.random()
        for rank, item in enumerate(rng.permutation(group_items)):
            places.append(((rank + shift) / len(group_items), rng.random(), int(item)))
    return [item for _, _, item in sorted(places)]


def _without_repeats(turn: list[int], begun: set[int], room: int) -> list[int]:
    """Return a round in which the items that complete a begun block are others than those that are in it."""
    if not begun:
        return turn
    first = [item for item in turn if item not in begun][:room]
    taken = set(first)
    return [*first, *(item for item in turn if item not in taken)]


def _unevenness(design: Sequence[Sequence[int]]) -> int:
    """Return the sum of squares of how often each pair of items meets: least where all meet as often."""
    return sum(each**2 for each in meetings(design).values())


def meetings(design: Sequence[Sequence[int]]) -> Counter[tuple[int, int]]:
    """Return how often each pair of items is in one block."""
    counts: Counter[tuple[int, int]] = Counter()
    for block in design:
        counts.update(combinations(sorted(block), 2))
    return counts
