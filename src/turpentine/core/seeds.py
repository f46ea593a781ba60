"""Parse seeds as people write them: `0-7,9`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from turpentine.core.errors import BadArgument

_SEEDS = re.compile(r"([0-9]{1,19})(?:-([0-9]{1,19}))?")
_LONGEST_RANGE = 100_000


def parse_seeds(text: str) -> list[int]:
    """Parse numbers and ranges of seeds; each seed is returned once, in the order given.

    Raises:
        BadArgument: The text holds anything else, or a range is empty or longer than 100,000.

    Example:
        >>> parse_seeds("0-3,9")
        [0, 1, 2, 3, 9]
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = _SEEDS.fullmatch(part.strip())
        if match is None:
            raise BadArgument(f"{text!r} are no seeds: give numbers and ranges from 0, such as 0-7,9.")
        first, last = match.groups()
        seeds += _seed_range(int(first), int(last or first))
    return list(dict.fromkeys(seeds))


def _seed_range(first: int, last: int) -> range:
    if not first <= last < first + _LONGEST_RANGE or last >= 2**63:
        raise BadArgument(
            f"{first}-{last} is no range of seeds: it must go upwards, by at most {_LONGEST_RANGE:,}, "
            "and end below 2^63."
        )
    return range(first, last + 1)


def spell_seeds(seeds: int | Sequence[int]) -> str:
    """Return seeds as people write them.

    Example:
        >>> spell_seeds(range(8)), spell_seeds([0, 1, 2, 9]), spell_seeds(3)
        ('0-7', '0-2,9', '3')
    """
    runs: list[list[int]] = []
    for seed in [seeds] if isinstance(seeds, int) else seeds:
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
