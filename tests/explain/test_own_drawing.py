"""Steps and guidance of instruments where nobody says: the family's own; and the keys under which they are stored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from explain.brightness import Brightness
from polars.testing import assert_frame_equal

from turpentine.core.plugins import plugins
from turpentine.core.settings import field_types
from turpentine.explain import Blocks, Clock, ConceptAttention, Contributions, Dynamics, Entangle, Intervene, Maps
from turpentine.explain.cache import about_run
from turpentine.explain.finding import Finding
from turpentine.explain.instrument import takes
from turpentine.explain.locogen import LocoGen
from turpentine.explain.replication import Replication
from turpentine.explain.tour import Tour
from turpentine.explain.trace import Trace
from turpentine.models import Model, load
from turpentine.testing.toys import toy

OF_A_PAPER = {"coar", "segment"}
"""Instruments whose guidance is their paper's, whichever model it is."""
JUDGED = {"concept": "church", "label": "light", "judge": Brightness()}
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "maps": (Maps(), {}),
    "contributions": (Contributions("UP1"), {}),
    "dynamics": (Dynamics(), {}),
    "intervene": (Intervene(("qALL",)), {"judge": Brightness()}),
    "clock": (Clock(("+0.1",)), {"judge": Brightness()}),
    "locogen": (LocoGen(3, "fish", "shade"), JUDGED),
    "blocks": (Blocks(1, "fish", "shade"), JUDGED),
    "trace": (Trace("text", "brightness"), {"concept": "church", "judge": Brightness()}),
    "concept-attention": (ConceptAttention(), {}),
    "entangle": (Entangle("shade"), {"judge": Brightness()}),
}
MODEL = {"concept-attention": "sd3"}


def test_every_instrument_that_draws_is_tried() -> None:
    drawing = {name for name, each in plugins("instrument").items() if "guidance_scale" in field_types(each.load())}
    assert drawing - OF_A_PAPER == set(CASES)


@pytest.fixture
def other_drawing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that has a model draw with two steps and w = 3 where nobody says, as if it were of full size."""

    def of(model: Model) -> Model:
        monkeypatch.setattr("turpentine.models.drawing_defaults.is_small", lambda model: False)
        monkeypatch.setattr(model.family, "drawing", (2, 3.0), raising=False)
        return model

    return of


@pytest.mark.parametrize("name", CASES)
def test_an_instrument_draws_as_the_family_does_and_as_it_is_told(name: str, other_drawing: Any) -> None:
    instrument, about = CASES[name]
    model = other_drawing(toy(MODEL.get(name, "sd1")))
    looked_at = {"dark": ("dog", "church")} if name == "entangle" else ["a red church"]

    def measure(each: Any) -> Finding:
        finding: Finding = each(model, looked_at, [0], **about)
        return finding

    own, given = measure(instrument), measure(replace(instrument, steps=2, guidance_scale=3.0))
    assert_frame_equal(own.table, given.table)
    if takes(type(instrument), "size") or name in {"dynamics", "intervene"}:
        assert not own.table.equals(measure(replace(instrument, steps=1)).table)


@pytest.mark.parametrize("name", CASES)
def test_what_is_stored_of_a_default_is_found_by_its_numbers(name: str, other_drawing: Any) -> None:
    instrument, _ = CASES[name]
    model = toy(MODEL.get(name, "sd1"))
    assert about_run(model, instrument) == about_run(model, replace(instrument, steps=20, guidance_scale=4.0))
    other_drawing(model)
    assert about_run(model, instrument) == about_run(model, replace(instrument, steps=2, guidance_scale=3.0))


def test_the_embedded_models_keys_stay() -> None:
    """What was stored before families were asked is found by the same command."""
    settings = {"letters": None, "kind": "cross-attention", "steps": 20, "guidance_scale": 4.0, "rows": 256}
    about = about_run(load("emoji"), Intervene())
    assert about["instrument"] == ["Intervene", settings]


def test_a_tour_and_a_replication_do_so_too(other_drawing: Any) -> None:
    tour, replication = Tour("a red church", "church", (0,)), Replication("words", (0,))
    model = toy("sd1")
    assert (tour.about(model)["steps"], tour.about(model)["guidance_scale"]) == (20, 4.0)
    assert (replication.about(model)["steps"], replication.about(model)["guidance_scale"]) == (None, 4.0)
    other_drawing(model)
    drawn = {(stop.settings.steps, stop.settings.guidance_scale) for stop in tour.stops(model) if stop.rows}
    assert drawn == {(2, 3.0)}
    assert (tour.about(model)["steps"], replication.about(model)["guidance_scale"]) == (2, 3.0)
    assert replace(tour, steps=5).about(model)["steps"] == 5
