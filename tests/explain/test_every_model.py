"""Every instrument on every family of models, in full and in half precision: what it promises, the model as it was."""

from __future__ import annotations

from collections import Counter
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
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from PIL import Image
from polars import selectors
from tiny import tiny_sd1, tiny_sd2_v, tiny_sdxl

from turpentine.core.errors import BadArgument
from turpentine.explain.agreement import Agreement
from turpentine.explain.clock import Clock
from turpentine.explain.coar import COAR
from turpentine.explain.contributions import Contributions
from turpentine.explain.dynamics import Dynamics
from turpentine.explain.entangle import Entangle
from turpentine.explain.finding import Finding
from turpentine.explain.heads import Heads
from turpentine.explain.intervene import Intervene
from turpentine.explain.locogen import LocoGen, LocoGenFinding
from turpentine.explain.maps import Maps
from turpentine.explain.segment import Segment
from turpentine.explain.tour import Tour
from turpentine.explain.trace import Trace
from turpentine.explain.coar import trials_needed
from turpentine.explain.dynamics import CHANGE, UPDATE, WORDS
from turpentine.explain.intervene import UNTOUCHED
from turpentine.explain.maps import enlarge
from turpentine.judges import EmojiJudge
from turpentine.models import Model, Site
from turpentine.testing.state import weights_hash

PROMPTS, SEEDS, STEPS = ["a red church", "a Church and a dog"], [0, 1], 2
MEASURES = ("shade kept", "layout", "fine detail", "fine detail of latents")
LETTERS = ("q1", "oUP1", "pALL", "r4")
TIMES = ("-0.2", "shuffled")
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

    plotted: numbers that are in the picture, each row of the table's once at least. rounding: how many times farther
    off than NEAR the smooth number may be.
    """

    ask: Callable[[Model], Any]
    by: tuple[str, ...]
    promised: Callable[[Model], Iterable[tuple[Any, ...]]]
    smooth: Callable[[Any], Any]
    plotted: Callable[[Any], Any]
    scores_sites: bool = True
    may_lack: frozenset[str] = field(default=frozenset())
    rounding: float = 1


def modules(model: Model, *kinds: str) -> list[Site]:
    return [site for site in model.sites if site.level == "module" and site.kind in kinds]


def named(*kinds: str) -> Callable[[Model], Iterable[tuple[str, ...]]]:
    return lambda model: [(site.name,) for site in modules(model, *kinds)]


def column(name: str, measure: str | None = None) -> Callable[[Finding], Any]:
    return lambda found: found.table.filter(pl.lit(True) if measure is None else pl.col("measure") == measure)[name]


def pixels(arrays: Iterable[Any]) -> Any:
    return np.concatenate([np.ravel(array) for array in arrays])


def words_over(found: Any) -> Any:
    """Maps as they lie over the pictures."""
    pairs = [(image, heat) for image, heats in zip(found.images, found.heats, strict=True) for heat in heats.values()]
    larger = [enlarge(heat, image) for image, heat in pairs]
    return pixels(heat / heat.max() for heat in larger)


def brightness(images: Iterable[Image.Image]) -> list[float]:
    return [float(np.asarray(image, dtype=np.float64).mean()) for image in images]


def traced(where: Any, prompts: Sequence[str] = PROMPTS) -> Callable[[Model], Any]:
    return lambda model: Trace(where, "brightness", steps=1)(
        model, prompts, SEEDS[: len(prompts)], concept="church", judge=Brightness()
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


def width_of(model: Model) -> int:
    """Of three windows."""
    return len(modules(model, "cross-attention")) - 2


def runs(model: Model) -> Iterable[tuple[str]]:
    labels, width = [site.label for site in modules(model, "cross-attention")], width_of(model)
    yield (UNTOUCHED,)
    for first, last in zip(labels, labels[width - 1 :], strict=False):
        yield (f"{first} to {last}",)


def segmented(model: Model) -> Any:
    pictures = [Image.new("RGB", model.size[::-1], colour) for colour in ("red", "teal")]
    return Segment(updates=2, batch_size=2)(model, pictures, PROMPTS)


CASES = {
    "intervene": Case(
        lambda model: Intervene(LETTERS, steps=STEPS)(model, PROMPTS, SEEDS, judge=Brightness()),
        ("letters", "measure"),
        lambda model: product((UNTOUCHED, *LETTERS), MEASURES),
        column("value", "fine detail of latents"),
        column("value"),
        scores_sites=False,
    ),
    "clock": Case(
        lambda model: Clock(TIMES, steps=STEPS)(model, PROMPTS, SEEDS, judge=Brightness()),
        ("letters", "measure"),
        lambda model: product((UNTOUCHED, *TIMES), MEASURES),
        column("value", "fine detail of latents"),
        column("value"),
        scores_sites=False,
    ),
    "dynamics": Case(
        lambda model: Dynamics(steps=STEPS)(model, PROMPTS, SEEDS),
        ("measure", "site", "step"),
        unfolding,
        column("value", UPDATE),
        column("value"),
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
        words_over,
        scores_sites=False,
    ),
    "contributions": Case(
        lambda model: Contributions(model.sites.only(kind=ATTENTION, level="module", label=["UP1", "UP2"]), STEPS)(
            model, PROMPTS, SEEDS
        ),
        ("prompt", "site"),
        lambda model: product(PROMPTS, [s.name for s in modules(model, *ATTENTION) if s.label in ("UP1", "UP2")]),
        lambda found: [heat.mean() for heats in found.heats.values() for heat in heats],
        lambda found: pixels(heat for heats in found.heats.values() for heat in heats),
        may_lack=frozenset({"inside", "outside", "ratio", "low", "high"}),
    ),
    "trace of the denoiser": Case(
        traced("unet", PROMPTS[:1]),
        ("site",),
        named("resnet", "self-attention", "cross-attention", "feed-forward"),
        column("restored"),
        column("effect"),
    ),
    "trace of the text encoder": Case(
        traced("text"), ("site",), named("text-attention", "text-mlp"), column("restored"), column("effect")
    ),
    "locogen": Case(
        lambda model: LocoGen(width_of(model), "fish", "shade", steps=1)(
            model, PROMPTS, SEEDS, concept="church", label="light", judge=Brightness()
        ),
        ("window",),
        runs,
        lambda found: brightness(image for images in found.images.values() for image in images),
        column("score"),
    ),
    "entangle": Case(
        lambda model: Entangle("shade", STEPS)(model, {"dark": "dog"}, {"dark": "church"}, SEEDS, judge=Brightness()),
        ("company",),
        lambda model: [("alone",), ("beside a neighbour",), ("beside another",)],
        lambda found: brightness(found.images),
        column("value"),
        scores_sites=False,
    ),
    "heads": Case(
        lambda model: Heads(shuffles=20)(model, GROUPS),
        ("site", "head", "part"),
        heads,
        column("score"),
        column("score"),
    ),
    "coar": Case(
        lambda model: COAR(("sampler",), trials_needed(len(modules(model, "sampler")), 0.3), 0.3, steps=1)(
            model, PROMPTS[:1], SEEDS[:1]
        ),
        ("site",),
        named("sampler"),
        lambda found: found.whole - found.table["measured"],
        lambda found: pixels(found.table[name] for name in ("measured", "measured", "score", "cad")),
        rounding=3,  # J squares a small difference of two predictions
    ),
    "segment": Case(
        segmented,
        ("words",),
        lambda model: [(prompt,) for prompt in PROMPTS],
        lambda found: [alpha.mean() for alpha in found.alphas],
        lambda found: pixels(found.alphas),
        scores_sites=False,
        may_lack=frozenset({"iou"}),
    ),
    "agreement": Case(
        agreed,
        ("site",),
        named("text-attention", "text-mlp"),
        column("measured"),
        lambda found: pixels(found.table[name] for name in ("score", "measured")),
    ),
}


@cache
def toy(family: str, dtype: torch.dtype) -> Model:
    model = Model(TOYS[family]().to(dtype=dtype))
    model.encode([""])  # transformers leaves hooks of its own on an encoder in its first call
    return model


def hooks(model: Model) -> int:
    parts = [part for whole in model.components.values() for part in whole.modules()]
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) + len(part._backward_hooks) for part in parts)


def check_picture(figure: Figure, plotted: Any) -> None:
    """The numbers are all there, as often as they are given, and no panel is empty."""
    given = np.asarray(plotted, dtype=np.float32)
    missing = Counter(given[~np.isnan(given)].tolist()) - drawn(figure)
    assert given.size and not missing
    assert all(axis.has_data() for axis in figure.axes if axis.axison)


def check_drawing(figure: Figure) -> None:
    """It can be drawn, and each panel has something in it, unless that is one colour itself."""
    figure.set_dpi(40)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())[::-1]
    for panel in figure.axes:
        if panel.axison or any(np.ptp(image.get_array(), (0, 1)).any() for image in panel.get_images()):
            left, bottom, right, top = panel.get_window_extent().extents.round().astype(int)
            assert np.ptp(picture[bottom:top, left:right, :3]), "it is not blank"


def drawn(figure: Figure) -> Counter[float]:
    """The lengths of bars, the heights of curves' marks, where points are, and the pixels of maps; no line of help."""
    found: list[Any] = []
    for axis in figure.axes:
        bars = [bar.get_width() for each in axis.containers if isinstance(each, BarContainer) for bar in each]
        curves = [line.get_ydata() for line in axis.get_lines() if line.get_marker() != "None"]
        points = [each.get_offsets() for each in axis.collections if isinstance(each, PathCollection)]
        maps = [image.get_array() for image in axis.get_images()]
        found += bars or [*curves, *points, *maps]
    return Counter(pixels(np.asarray(each, dtype=np.float32) for each in found).tolist())


@pytest.mark.parametrize("family", TOYS)
@pytest.mark.parametrize("name", CASES)
def test_an_instrument_keeps_its_promises_in_full_and_in_half_precision(name: str, family: str) -> None:
    case = CASES[name]
    whole = kept_promises(case, toy(family, torch.float32))
    figure = whole.plot()
    check_picture(figure, case.plotted(whole))
    if family == "sdxl":  # the one with the most to draw
        check_drawing(figure)
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
        assert 0 < len(best) <= (width_of(model) + 1 if isinstance(finding, LocoGenFinding) else 2)
        assert set(best) <= set(model.sites)
    else:
        with pytest.raises(BadArgument):
            finding.sites(top=2)
    return finding


STOPS: dict[str, Callable[[Any], Any]] = {
    "dynamics": column("value"),
    "maps": words_over,
    "windows": lambda found: 1 - found.grid("object kept")[2],
    "trace-unet": column("effect"),
    "trace-text": column("effect"),
    "heads": column("score"),
}


@pytest.mark.parametrize("name", STOPS)
def test_a_stop_of_the_tour_finds_tells_and_shows_something_in_half_precision(name: str) -> None:
    model = toy("sd2", torch.bfloat16)
    (stop,) = (each for each in TOUR.stops(model, EmojiJudge()) if each.name == name)
    finding = stop.run(None, None)
    assert stop.tell(finding).endswith(".")
    assert "nan" not in stop.tell(finding)
    check_picture(stop.draw(finding), STOPS[name](finding))
