"""A text that the model would read a part of is refused by every instrument that is told it."""

from __future__ import annotations

import pytest
from PIL import Image

from turpentine.core.errors import BadArgument
from turpentine.explain.clock import Clock
from turpentine.explain.coar import COAR
from turpentine.explain.dynamics import Dynamics
from turpentine.explain.heads import Heads
from turpentine.explain.intervene import Intervene
from turpentine.explain.maps import Maps
from turpentine.explain.segment import Segment
from turpentine.models import Model, count_rows

LONG = "dog " * 14 + "fish"


@pytest.mark.parametrize("instrument", [Clock(), COAR(), Dynamics(), Intervene(("q1",)), Maps()])
def test_what_would_be_cut_off_is_told_before_anything_is_drawn(sd1: Model, instrument) -> None:
    with count_rows(sd1) as count, pytest.raises(BadArgument, match=r"16: 'fish' would be cut off"):
        instrument(sd1, ["a church", LONG], 0)
    assert count.calls == 0


def test_words_of_a_segment_and_a_background_are_texts_too(sd1: Model) -> None:
    image = Image.new("RGB", sd1.size[::-1])
    with (
        count_rows(sd1) as count,
        pytest.raises(BadArgument, match=r"The text to find has 17 tokens .* 16: 'fish' would be cut off"),
    ):
        Segment()(sd1, [image, image], concept=["a church", LONG])
    assert count.calls == 0
    with pytest.raises(BadArgument, match=r"A prompt of the background has 17 .* 16: 'fish' would be cut off"):
        Heads(background=("a church", LONG))(sd1, {"animals": ["dog", "cat"], "others": ["church", "truck"]})
