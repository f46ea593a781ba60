"""What a kept part is of: a run that differs in anything that decides its numbers computes its own, the same run none.

The evidence is the denoiser's rows.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from explain.brightness import Brightness
from explain.worldless import WorldlessJudge
from polars.testing import assert_frame_equal
from tiny import tiny_sd1

from turpentine.concepts import Concept
from turpentine.edits import Edit
from turpentine.erase.guidance import NegativePrompt
from turpentine.explain.clock import Clock
from turpentine.explain.coar import COAR
from turpentine.explain.intervene import Intervene
from turpentine.explain.locogen import LocoGen
from turpentine.explain.trace import Trace
from turpentine.models import Model, count_rows

SPEED = {"rows", "batch_size"}
"""Settings that change no number by more than rounding does."""


@dataclass(frozen=True)
class Case:
    """An instrument, what it is told, and another value of each of its settings and of each thing it is told."""

    asked: Any
    settings: dict[str, Any]
    told: dict[str, Any] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)


CASES = {
    "intervene": Case(
        Intervene(("qALL",), steps=1),
        {"letters": ("pALL",), "kind": "self-attention", "steps": 2, "guidance_scale": 2.0},
    ),
    "clock": Case(
        Clock(("+0.1", "shuffled"), steps=1),
        {"times": ("-0.1", "shuffled"), "layers": "HIGHRES", "steps": 2, "guidance_scale": 2.0, "seed": 1},
    ),
    "locogen": Case(
        LocoGen(4, "dog", steps=1),
        {"width": 3, "target": "fish", "column": "second", "steps": 2, "guidance_scale": 2.0},
        {"concept": "church", "label": "church", "judge": WorldlessJudge()},
        {"concept": "red"},
    ),
    "trace": Case(
        Trace("text", "brightness", steps=1),
        {"where": "denoiser", "column": "shade", "noise": 2.0, "steps": 2, "guidance_scale": 2.0, "seed": 1},
        {"concept": "church", "label": "light", "judge": Brightness()},
        {"concept": "red", "label": "dark"},
    ),
    "coar": Case(
        COAR(("cross-attention",), 34, 0.3, steps=1),
        {"kinds": ("self-attention",), "trials": 35, "share": 0.2, "steps": 2, "guidance_scale": 2.0, "seed": 1},
    ),
}
PROMPTS, SEEDS = ["a red church"], [0]


class Enough(Exception):
    """Raised when a first part is done."""


def enough(done: int, total: int) -> None:
    raise Enough


@dataclass
class Run:
    """One run of an instrument, of which any part may be replaced."""

    model: Model
    case: Case
    cache: Path
    prompts: list[str] = field(default_factory=lambda: PROMPTS)
    seeds: list[int] = field(default_factory=lambda: SEEDS)

    def computes(self) -> bool:
        """Does it compute its first part, after which it is broken off?"""
        asked = self.case.asked
        with count_rows(self.model) as count, pytest.raises(Enough):
            asked(self.model, self.prompts, self.seeds, cache=self.cache, progress=enough, **self.case.told)
        return count.rows > (2 * asked.steps if isinstance(asked, COAR) else 0)  # its stored run is taken anew


@pytest.fixture(scope="module")
def kept(sd1: Model, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """A run of which all is kept, by the instrument's name."""

    @cache
    def of(name: str) -> Run:
        run = Run(sd1, CASES[name], tmp_path_factory.mktemp(name))
        assert run.computes()
        return run

    return of


@pytest.mark.parametrize("name", CASES)
def test_the_same_run_is_served_also_on_another_copy_of_the_model(name: str, kept) -> None:
    run = kept(name)
    assert not run.computes()
    assert not replace(run, model=Model(tiny_sd1(), "a copy")).computes()


@pytest.mark.parametrize("name", CASES)
def test_each_setting_that_decides_numbers_is_tried_below(name: str) -> None:
    case = CASES[name]
    assert {each.name for each in fields(case.asked)} - SPEED == set(case.settings)
    assert all(getattr(case.asked, setting) != value for setting, value in case.settings.items())


@pytest.mark.parametrize(("name", "setting"), [(name, key) for name, case in CASES.items() for key in case.settings])
def test_another_setting_is_another_part(name: str, setting: str, kept) -> None:
    run = kept(name)
    asked = replace(run.case.asked, **{setting: run.case.settings[setting]})
    assert replace(run, case=replace(run.case, asked=asked)).computes()


@pytest.mark.parametrize(("name", "told"), [(name, key) for name, case in CASES.items() for key in case.others])
def test_being_told_other_words_is_another_part(name: str, told: str, kept) -> None:
    run = kept(name)
    words = run.case.told | {told: run.case.others[told]}
    assert replace(run, case=replace(run.case, told=words)).computes()


@pytest.mark.parametrize("other", [{"prompts": ["a church and a red dog"]}, {"seeds": [1]}], ids=["prompt", "seed"])
@pytest.mark.parametrize("name", CASES)
def test_another_picture_is_another_part(name: str, other: dict[str, Any], kept) -> None:
    assert replace(kept(name), **other).computes()


def test_pictures_in_another_order_are_other_parts(kept, tmp_path: Path) -> None:
    run = replace(kept("intervene"), prompts=["a red church", "a dog"], seeds=[0, 1], cache=tmp_path)
    assert run.computes()
    assert replace(run, seeds=[1, 0]).computes()
    assert replace(run, prompts=run.prompts[::-1]).computes()
    assert not run.computes()


EDIT = Edit({"unet.conv_in.weight": torch.full((8, 4, 3, 3), 0.1)})


def other_weights(model: Model) -> AbstractContextManager[Model]:
    other = Model(tiny_sd1())
    with torch.no_grad():
        other.parameter("unet.conv_in.weight")[0, 0, 0, 0] += 1
    return nullcontext(other)


def in_doubles(model: Model) -> AbstractContextManager[Model]:
    return nullcontext(Model(tiny_sd1().to(torch.float64)))


def decoded_in_doubles(model: Model) -> AbstractContextManager[Model]:
    pipeline = tiny_sd1()
    pipeline.vae.to(torch.float64)
    return nullcontext(Model(pipeline))


def other_times(model: Model) -> AbstractContextManager[Model]:
    pipeline = tiny_sd1()
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, timestep_spacing="trailing")
    return nullcontext(Model(pipeline))


def guided(model: Model) -> AbstractContextManager[Model]:
    return NegativePrompt()(model, Concept("church")).on(model)


@pytest.mark.parametrize("elsewhere", [other_weights, in_doubles, decoded_in_doubles, other_times, guided, EDIT.on])
@pytest.mark.parametrize("name", CASES)
def test_another_model_is_another_part(name: str, elsewhere: Callable[[Model], Any], kept) -> None:
    run = kept(name)
    with elsewhere(run.model) as model:
        assert replace(run, model=model).computes()
    assert not run.computes()


def test_an_edit_of_another_strength_is_another_part(kept, tmp_path: Path) -> None:
    run = replace(kept("intervene"), cache=tmp_path)
    with EDIT.on(run.model):
        assert run.computes()
    with EDIT.scaled(0.5).on(run.model):
        assert run.computes()
    with EDIT.on(run.model):
        assert not run.computes()


def another(kind: type, **facts: Any) -> Any:
    """A judge of this kind of which some facts are others."""
    return type("Another", (kind,), facts)()


@pytest.mark.parametrize("fact", [{"name": "other"}, {"revision": "2"}, {"settings": {"rows": 8}}], ids=str)
def test_scores_are_kept_of_one_judge_only(fact: dict[str, Any], kept) -> None:
    run = kept("trace")
    told = run.case.told | {"judge": another(Brightness, **fact)}
    assert replace(run, case=replace(run.case, told=told)).computes()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("intervene", {"judge": Brightness()}),
        ("clock", {"judge": Brightness()}),
        ("locogen", {"judge": another(WorldlessJudge, revision="2")}),
        ("locogen", {"label": "dog"}),
    ],
)
def test_pictures_are_kept_for_every_judge_and_judged_anew(name: str, told: dict[str, Any], kept) -> None:
    run = kept(name)
    assert not replace(run, case=replace(run.case, told=run.case.told | told)).computes()


def test_kept_pictures_are_said_to_be_what_the_new_judge_says(kept) -> None:
    run = kept("intervene")
    found = run.case.asked(run.model, run.prompts, run.seeds, cache=run.cache, judge=Brightness())
    alone = run.case.asked(run.model, run.prompts, run.seeds, judge=Brightness())
    assert "shade kept" in found.rows.columns
    assert_frame_equal(found.rows, alone.rows)
