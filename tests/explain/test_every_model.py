"""Every instrument on every family of models, in full and in half precision: what it promises, the model as it was."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from explain.brightness import Brightness
from PIL import Image
from polars import selectors
from tiny import tiny_sd1, tiny_sd2_v, tiny_sdxl

from turpentine.errors import BadArgument
from turpentine.explain import (
    Agreement,
    Clock,
    Coar,
    Contributions,
    Dynamics,
    Entangle,
    Finding,
    Heads,
    Intervene,
    Located,
    LocoGen,
    Maps,
    Segment,
    Tour,
    Trace,
)
from turpentine.explain.coar import trials_needed
from turpentine.explain.dynamics import CHANGE, UPDATE, WORDS
from turpentine.explain.intervene import UNTOUCHED
from turpentine.explain.letters import usual
from turpentine.judges import EmojiJudge
from turpentine.models import Model, Site
from turpentine.testing.state import weights_hash

PROMPTS, SEEDS, STEPS = ["a red church", "a Church and a dog"], [0, 1], 2
MEASURES = ("shade kept", "layout", "fine detail", "fine detail of latents")
TIMES = ("-0.2", "+0.1", "=0.5", "shuffled")
ATTENTION = ("self-attention", "cross-attention")
GROUPS = {"animals": ("dog", "cat", "fish"), "vehicles": ("car", "truck"), "colours": ("red", "blue", "green")}

TOYS = {"sd1": tiny_sd1, "sd2": tiny_sd2_v, "sdxl": tiny_sdxl}
NEAR = {torch.bfloat16: 0.03, torch.float16: 0.005}
"""How far the numbers of a format may be from those of float32, as a share of their largest."""
HALF = {"sd1": torch.float16, "sd2": torch.bfloat16, "sdxl": torch.bfloat16}
TOUR = Tour("a red church", "church", (0,), steps=1)


@dataclass(frozen=True)
class Case:
    """An instrument: what is asked, by which columns its rows are promised and which rows, and a smooth number.

    rounding: how many times farther off than NEAR the number may be.
    """

    ask: Callable[[Model], Any]
    by: tuple[str, ...]
    promised: Callable[[Model], Iterable[tuple[Any, ...]]]
    smooth: Callable[[Any], Any]
    scores_sites: bool = True
    may_lack: frozenset[str] = field(default=frozenset())
    rounding: float = 1


def modules(model: Model, *kinds: str) -> list[Site]:
    return [site for site in model.sites if site.level == "module" and site.kind in kinds]


def named(*kinds: str) -> Callable[[Model], Iterable[tuple[str, ...]]]:
    return lambda model: [(site.name,) for site in modules(model, *kinds)]


def column(name: str, measure: str | None = None) -> Callable[[Finding], Any]:
    return lambda found: found.table.filter(pl.lit(True) if measure is None else pl.col("measure") == measure)[name]


def brightness(images: Iterable[Image.Image]) -> list[float]:
    return [float(np.asarray(image, dtype=np.float64).mean()) for image in images]


def traced(where: Any, prompts: Sequence[str] = PROMPTS) -> Callable[[Model], Any]:
    return lambda model: Trace(where, "brightness", steps=1)(
        model, prompts, SEEDS[: len(prompts)], subject="church", judge=Brightness()
    )


def agreed(model: Model) -> Any:
    found = traced("text", PROMPTS[:1])(model)
    return Agreement(rounds=50)(found, found.table.select("site", pl.col("restored").alias("measured")))


def heads(model: Model) -> Iterable[tuple[Any, ...]]:
    for site in modules(model, "cross-attention"):
        yield from product([site.name], range(model.module(site.name).heads), ("key", "value"))


def unfolding(model: Model) -> Iterable[tuple[Any, ...]]:
    yield from product((CHANGE, WORDS), [""], range(STEPS))
    yield from product([UPDATE], [site.name for site in modules(model, "cross-attention")], range(STEPS))


def runs(model: Model, width: int) -> Iterable[tuple[str]]:
    labels = [site.label for site in modules(model, "cross-attention")]
    yield (UNTOUCHED,)
    for first, last in zip(labels, labels[width - 1 :], strict=False):
        yield (f"{first} to {last}",)


def segmented(model: Model) -> Any:
    pictures = [Image.new("RGB", model.size[::-1], colour) for colour in ("red", "teal")]
    return Segment(updates=2, batch_size=2)(model, pictures, PROMPTS)


CASES = {
    "intervene": Case(
        lambda model: Intervene(usual(model), steps=STEPS)(model, PROMPTS, SEEDS, judge=Brightness()),
        ("letters", "measure"),
        lambda model: product((UNTOUCHED, *usual(model)), MEASURES),
        column("value", "fine detail of latents"),
        scores_sites=False,
    ),
    "clock": Case(
        lambda model: Clock(TIMES, steps=STEPS)(model, PROMPTS, SEEDS, judge=Brightness()),
        ("letters", "measure"),
        lambda model: product((UNTOUCHED, *TIMES), MEASURES),
        column("value", "fine detail of latents"),
        scores_sites=False,
    ),
    "dynamics": Case(
        lambda model: Dynamics(steps=STEPS)(model, PROMPTS, SEEDS),
        ("measure", "site", "step"),
        unfolding,
        column("value", UPDATE),
    ),
    "maps": Case(
        lambda model: Maps(steps=STEPS)(model, PROMPTS, SEEDS),
        ("prompt", "word"),
        lambda model: [
            (PROMPTS[0], "a"),
            (PROMPTS[0], "red"),
            (PROMPTS[0], "church"),
            (PROMPTS[1], "a"),
            (PROMPTS[1], "Church"),
            (PROMPTS[1], "and"),
            (PROMPTS[1], "dog"),
        ],
        column("mass"),
        scores_sites=False,
    ),
    "contributions": Case(
        lambda model: Contributions(model.sites.only(kind=ATTENTION, level="module", label=["UP1", "UP2"]), STEPS)(
            model, PROMPTS, SEEDS
        ),
        ("prompt", "site"),
        lambda model: product(PROMPTS, [s.name for s in modules(model, *ATTENTION) if s.label in ("UP1", "UP2")]),
        lambda found: [heat.mean() for heats in found.heats.values() for heat in heats],
        may_lack=frozenset({"inside", "outside", "ratio", "low", "high"}),
    ),
    "trace of the denoiser": Case(
        traced("unet", PROMPTS[:1]),
        ("site",),
        named("resnet", "self-attention", "cross-attention", "feed-forward"),
        column("restored"),
    ),
    "trace of the text encoder": Case(
        traced("text"), ("site",), named("text-attention", "text-mlp"), column("restored")
    ),
    "locogen": Case(
        lambda model: LocoGen(2, "fish", "shade", STEPS)(
            model, PROMPTS, SEEDS, concept="church", wanted="light", judge=Brightness()
        ),
        ("window",),
        lambda model: runs(model, 2),
        lambda found: brightness(image for images in found.images.values() for image in images),
    ),
    "entangle": Case(
        lambda model: Entangle("shade", STEPS)(model, {"dark": "dog"}, {"dark": "church"}, SEEDS, judge=Brightness()),
        ("company",),
        lambda model: [("alone",), ("beside a neighbour",), ("beside another",)],
        lambda found: brightness(found.images),
        scores_sites=False,
    ),
    "heads": Case(lambda model: Heads(shuffles=20)(model, GROUPS), ("site", "head", "part"), heads, column("score")),
    "coar": Case(
        lambda model: Coar(("resnet",), trials_needed(len(modules(model, "resnet")), 0.3), 0.3, steps=1)(
            model, PROMPTS[:1], SEEDS[:1]
        ),
        ("site",),
        named("resnet"),
        lambda found: found.whole - found.table["measured"],
        rounding=3,  # J squares a small difference of two predictions
    ),
    "segment": Case(
        segmented,
        ("words",),
        lambda model: [(prompt,) for prompt in PROMPTS],
        lambda found: [alpha.mean() for alpha in found.alphas],
        scores_sites=False,
        may_lack=frozenset({"iou"}),
    ),
    "agreement": Case(agreed, ("site",), named("text-attention", "text-mlp"), column("measured")),
}


@cache
def toy(family: str, dtype: torch.dtype) -> Model:
    model = Model(TOYS[family]().to(dtype=dtype))
    model.encode([""])  # transformers leaves hooks of its own on an encoder in its first call
    return model


def hooks(model: Model) -> int:
    parts = [part for whole in model.components.values() for part in whole.modules()]
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) + len(part._backward_hooks) for part in parts)


def check_picture(figure: Any) -> None:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=40)
    assert len(np.unique(np.asarray(Image.open(file).convert("L")))) > 10, "there is something in it"


@pytest.mark.parametrize("family", TOYS)
@pytest.mark.parametrize("name", CASES)
def test_an_instrument_keeps_its_promises_in_full_and_in_half_precision(name: str, family: str) -> None:
    case = CASES[name]
    whole = kept_promises(case, toy(family, torch.float32))
    check_picture(whole.plot())
    expected = np.array(case.smooth(whole), dtype=np.float64)
    half = np.array(case.smooth(kept_promises(case, toy(family, HALF[family]))), dtype=np.float64)
    assert np.abs(half - expected).max() <= case.rounding * NEAR[HALF[family]] * np.abs(expected).max()


def kept_promises(case: Case, model: Model) -> Any:
    """What is found, after a look at whether it is all there and the model as it was."""
    before = weights_hash(model), hooks(model)
    finding = case.ask(model)
    assert (weights_hash(model), hooks(model)) == before
    table = finding.table
    assert sorted(table.select(case.by).rows()) == sorted(case.promised(model))
    for values in table.select(selectors.numeric()):
        assert values.drop_nulls().is_finite().all(), values.name
        assert values.name in case.may_lack or not values.null_count(), values.name
    if "low" in table.columns:
        of = next(each for each in ("value", "score", "effect", "ratio") if each in table.columns)
        measured = table.drop_nulls(of)
        assert (measured["low"] <= measured[of] + 1e-12).all()
        assert (measured[of] <= measured["high"] + 1e-12).all()
    if case.scores_sites:
        best = finding.sites(top=2)
        assert 0 < len(best) <= (3 if isinstance(finding, Located) else 2)
        assert set(best) <= set(model.sites)
    else:
        with pytest.raises(BadArgument):
            finding.sites(top=2)
    return finding


@pytest.mark.parametrize("name", ["dynamics", "maps", "windows", "trace-unet", "trace-text", "heads"])
def test_a_stop_of_the_tour_finds_tells_and_shows_something_in_half_precision(name: str) -> None:
    model = toy("sdxl", torch.bfloat16)
    (stop,) = (each for each in TOUR.stops(model, EmojiJudge()) if each.name == name)
    finding = stop.run(None, None)
    assert stop.tell(finding).endswith(".")
    assert "nan" not in stop.tell(finding)
    check_picture(stop.draw(finding))
