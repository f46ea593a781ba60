from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turpentine.models import Moment, Window


@given(st.integers(1, 100), st.lists(st.floats(0.01, 0.99), max_size=4, unique=True))
def test_windows_that_meet_share_no_step_and_leave_none_out(count, cuts):
    edges = [0.0, *sorted(cuts), 1.0]
    steps = [step for start, stop in pairwise(edges) for step in Window(start, stop).steps(count)]
    assert steps == list(range(count))


@pytest.mark.parametrize(
    ("window", "count", "steps"),
    [
        ((0, 0.1), 50, range(5)),
        ((0.1, 0.3), 50, range(5, 15)),
        ((0.6, 1), 20, range(12, 20)),
        ((0, 0.26), 50, range(13)),
    ],
)
def test_a_window_in_steps(window, count, steps):
    assert Window(*window).steps(count) == steps
    inside = [step for step in range(count) if Moment(step, count, slice(None)) in Window(*window)]
    assert inside == list(steps)
