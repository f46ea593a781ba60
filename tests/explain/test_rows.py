"""Calls of the denoiser are no larger than was asked, also under a guidance that adds rows of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from explain.brightness import Brightness

from turpentine.concepts import Concept
from turpentine.erase.guidance import SLD
from turpentine.explain.intervene import Intervene
from turpentine.explain.trace import Trace
from turpentine.models import Model

EACH = 3
"""Rows of a picture in a step under SLD: the prompt's, that of ∅ and the concept's."""


@contextmanager
def sizes_of_calls(model: Model) -> Iterator[list[int]]:
    sizes: list[int] = []

    def add(module, args, kwargs) -> None:
        sizes.append(len(args[0] if args else kwargs["sample"]))

    handle = model.denoiser.register_forward_pre_hook(add, with_kwargs=True)
    try:
        yield sizes
    finally:
        handle.remove()


@pytest.fixture
def guided(sd1: Model) -> Iterator[Model]:
    with SLD()(sd1, Concept("dog")).on(sd1) as model:
        yield model


@pytest.mark.parametrize("rows", [1, 9, 17, 18, 35, 256])
def test_interventions_keep_to_the_rows_asked_for(guided: Model, rows: int) -> None:
    picture = EACH * (1 + 2)
    with sizes_of_calls(guided) as sizes:
        Intervene(("qALL", "qMID"), steps=2, rows=rows)(guided, "a church", [0, 1, 2])
    assert max(sizes) <= max(rows, picture)
    assert max(sizes) == picture * min(3, max(1, rows // picture)), "and use what they may"
    assert sum(sizes) == 2 * 3 * picture


@pytest.mark.parametrize("rows", [1, 6, 8, 9, 20, 256])
def test_a_trace_keeps_to_the_rows_asked_for(guided: Model, rows: int) -> None:
    asked = Trace("text", "brightness", steps=2, rows=rows)
    runs = 1 + len(asked.components(guided))
    with sizes_of_calls(guided) as sizes:
        asked(guided, "a church", 0, concept="church", judge=Brightness())
    assert max(sizes) <= max(rows, EACH * 2), "a run needs the untouched one beside it"
    assert max(sizes) == EACH * (1 + min(runs, max(1, rows // EACH - 1))), "and uses what it may"
