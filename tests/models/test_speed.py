"""How fast a model is: tried by a clock that goes on by what is computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from turpentine.models import Model, count_rows
from turpentine.models.speed import seconds_a_row, seconds_a_text


@dataclass
class PacedClock:
    """Goes on by some seconds for each call and each row of it.

    Args:
        model: Whose calls; its denoiser's and its text encoder's.
        a_call: Seconds of a call, however many rows it has.
        a_row: Seconds of a row.
    """

    model: Model
    a_call: float
    a_row: float
    now: float = 0.0
    sizes: list[int] = field(default_factory=list)

    def count(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        rows = len(next(each for each in (*args, *kwargs.values()) if hasattr(each, "shape")))
        self.sizes.append(rows)
        self.now += self.a_call + self.a_row * rows


@pytest.mark.parametrize(
    ("a_call", "a_row", "sizes"),
    [
        (0.0, 0.0001, [1, 1, 1, 1, 4, 4, 4, 16, 16, 16, 64, 64, 64]),  # a small model
        (0.05, 0.0001, [1, 1, 1, 1, 4, 4, 4, 16, 16, 16, 64, 64, 64]),  # a device: many rows as quickly as one
        (0.0, 0.02, [1, 1, 1, 1, 4, 4, 4]),
        (0.0, 9.0, [1, 1, 1, 1]),  # a large model without a device: no minutes go by
    ],
)
def test_many_rows_are_tried_where_they_take_a_moment(
    sd1: Model, monkeypatch: pytest.MonkeyPatch, a_call: float, a_row: float, sizes: list[int]
) -> None:
    clock = PacedClock(sd1, a_call, a_row)
    monkeypatch.setattr("turpentine.models.speed.time.monotonic", lambda: clock.now)
    with sd1.denoiser.register_forward_pre_hook(clock.count, with_kwargs=True), count_rows(sd1) as count:
        assert seconds_a_row(sd1, 64) == pytest.approx(a_row + a_call / sizes[-1])
    assert clock.sizes == sizes and count.rows == sum(sizes)


def test_texts_are_tried_likewise_and_no_more_than_are_named(sd1: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = PacedClock(sd1, 0.0, 0.001)
    monkeypatch.setattr("turpentine.models.speed.time.monotonic", lambda: clock.now)
    with sd1.pipeline.text_encoder.register_forward_pre_hook(clock.count, with_kwargs=True):
        assert seconds_a_text(sd1, 6) == pytest.approx(0.001)
    assert clock.sizes == [1, 1, 1, 1, 4, 4, 4, 6, 6, 6]
