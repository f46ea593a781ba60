"""A prompt that the model would read a part of is refused by every instrument that draws it."""

from __future__ import annotations

import pytest

from turpentine.errors import BadArgument
from turpentine.explain import Clock, Dynamics, Intervene, Maps
from turpentine.models import Model, count_rows


@pytest.mark.parametrize("instrument", [Clock(), Dynamics(), Intervene(("q1",)), Maps()])
def test_what_would_be_cut_off_is_told_before_anything_is_drawn(sd1: Model, instrument) -> None:
    with count_rows(sd1) as count, pytest.raises(BadArgument, match=r"16: 'fish' would be cut off"):
        instrument(sd1, ["a church", "dog " * 14 + "fish"], 0)
    assert count.calls == 0
