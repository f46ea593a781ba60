"""Settings are refused when they are made: of every plug-in, of concepts, and of `Model.generate`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import wrong_types
from processes import Started
from wrong_types import OURS, REQUIRED, parts

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, BadWindow, UnknownName
from turpentine.core.plugins import find
from turpentine.core.settings import field_types
from turpentine.models import Model, count_rows


def test_values_of_other_types_are_refused_in_a_sentence_that_names_them(tmp_path: Path) -> None:
    """In a process of its own: here, calls are checked by their annotations before the package sees them."""
    out, err = (child := Started(tmp_path, wrong_types.main)).communicate()
    assert child.poll() == 0, err
    passed, tried = json.loads(out.splitlines()[-1])
    assert passed == [] and tried > 500


COUNTS = {"steps", "updates", "batch_size", "rows", "top", "pictures", "draws", "sampling_steps", "trajectories"}


@pytest.mark.parametrize("name", OURS)
def test_counts_are_at_least_1_and_seeds_at_least_0(name: str) -> None:
    cls, rest = find(name).load(), REQUIRED.get(name, {})
    types = field_types(cls)
    for field in (name for name in COUNTS & set(types) if int in parts(types[name])):
        for value in (0, -1):
            with pytest.raises(BadArgument, match=f"{field} is {value}: give 1 or more"):
                cls(**{**rest, field: value})
    if "seed" in field_types(cls):
        with pytest.raises(BadArgument, match="seed is -1: give 0 or more"):
            cls(**{**rest, "seed": -1})


@pytest.mark.parametrize("name", ["esd-x", "cad", "conceptprune"])
@pytest.mark.parametrize("window", [(0.5, 0.5), (0.6, 0.2), (-0.1, 1.0), (0.0, 1.5)])
def test_a_window_that_is_no_part_of_the_schedule_is_refused(name: str, window: tuple[float, float]) -> None:
    with pytest.raises(BadWindow):
        find(name).load()(window=window)


@pytest.mark.parametrize("name", ["uce", "rece", "loco-edit", "diff-quickfix"])
@pytest.mark.parametrize("templates", [("a photo",), ("{} {}",), ("",)])
def test_a_template_without_one_place_for_the_concept_is_refused(name: str, templates: tuple[str, ...]) -> None:
    with pytest.raises(BadArgument):
        find(name).load()(templates=templates)


def test_times_layers_and_templates_of_instruments_are_refused() -> None:
    for name, settings, error in (
        ("clock", {"times": ("later",)}, UnknownName),
        ("clock", {"times": ("+1.5",)}, BadArgument),
        ("clock", {"layers": "MID"}, UnknownName),
        ("heads", {"template": "a photo"}, BadArgument),
        ("segment", {"window": (0.5, 0.2)}, BadArgument),
    ):
        with pytest.raises(error):
            find(name).load()(**settings)


def test_a_concept_is_of_words() -> None:
    for wrong in ({"keep": (" ",)}, {"templates": ("a", "b")}, {"templates": ()}):
        with pytest.raises(BadArgument):
            Concept("dog", **wrong)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"seeds": -1}, "seeds"),
        ({"seeds": 2**63}, "seeds"),
        ({"steps": 0}, "steps"),
        ({"steps": 5000}, "steps"),
        ({"guidance_scale": math.nan}, "guidance_scale"),
        ({"guidance_scale": math.inf}, "guidance_scale"),
        ({"solver": "dimm"}, "ddim"),
        ({"batch_size": 0}, "batch"),
        ({"size": 33}, "multiples"),
    ],
)
def test_arguments_of_generate_are_refused_before_any_work(sd1: Model, settings: dict[str, Any], named: str) -> None:
    given = {"seeds": [0], "steps": 1, **settings}
    with count_rows(sd1) as count, pytest.raises((BadArgument, UnknownName), match=named):
        sd1.generate("a dog", **given)
    assert count.rows == 0
