"""The counter: what is counted is what is reported."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from turpentine.core.progress import Counter


@given(st.lists(st.integers(0, 50)))
def test_every_addition_is_reported_as_the_sum_so_far(units: list[int]) -> None:
    reports: list[tuple[int, int]] = []
    counter = Counter(lambda done, total: reports.append((done, total)), total=sum(units))
    for each in units:
        counter.add(each)
    assert reports == [(sum(units[: index + 1]), sum(units)) for index in range(len(units))]
    assert counter.done == counter.total


def test_without_a_callback_it_counts_all_the_same() -> None:
    counter = Counter(None, total=2)
    counter.add()
    counter.add()
    assert counter.done == 2
