from __future__ import annotations

import pytest

from turpentine.bench import Protocol
from turpentine.core.errors import BadArgument


@pytest.mark.parametrize("seeds", [(), (1, 1), (-1, 2)])
def test_seeds_that_cannot_be_are_an_error(seeds: tuple[int, ...]) -> None:
    with pytest.raises(BadArgument, match="seeds"):
        Protocol(seeds=seeds)


@pytest.mark.parametrize("changes", [{"steps": 0}, {"batch_size": 0}])
def test_numbers_out_of_range_are_an_error(changes: dict[str, int]) -> None:
    with pytest.raises(BadArgument, match=next(iter(changes))):
        Protocol(**changes)


def test_the_facts_leave_out_what_decides_speed_only() -> None:
    assert Protocol(batch_size=1).facts() == Protocol(batch_size=64).facts()
    assert Protocol(steps=3).facts() != Protocol().facts()
    assert Protocol(seeds=(0,)).facts() != Protocol(seeds=(1,)).facts()
