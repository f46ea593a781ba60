"""The contract on every instrument; and the tour's stops in half precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
import torch
from explain.brightness import Brightness
from explain.worldless import WorldlessJudge
from PIL import Image

from turpentine.explain._masks import enlarge
from turpentine.explain.agreement import Agreement, AgreementFinding
from turpentine.explain.blocks import Blocks
from turpentine.explain.clock import Clock
from turpentine.explain.coar import COAR, trials_needed
from turpentine.explain.contributions import Contributions
from turpentine.explain.dynamics import CHANGE, UPDATE, WORDS, Dynamics
from turpentine.explain.entangle import Entangle
from turpentine.explain.finding import Finding
from turpentine.explain.heads import Heads
from turpentine.explain.intervene import UNTOUCHED, Intervene
from turpentine.explain.locogen import LocoGen
from turpentine.explain.maps import Maps
from turpentine.explain.segment import Segment
from turpentine.explain.tour import Tour
from turpentine.explain.trace import Trace
from turpentine.models import Model
from turpentine.testing.contracts.instrument import InstrumentContract, check_plot, flat, measured, modules, toy

PROMPTS, SEEDS, STEPS = ["a red church", "a Church and a dog"], [0, 1], 2
MEASURES = ("shade kept", "layout", "fine detail", "fine detail of latents")
DENOISER = ("resnet", "self-attention", "cross-attention", "feed-forward")
ENCODER = ("text-attention", "text-mlp")
ATTENTION = ("self-attention", "cross-attention")


def brightness(images: Iterable[Image.Image]) -> list[float]:
    return [float(np.asarray(image, dtype=np.float64).mean()) for image in images]


def of_measure(finding: Finding, measure: str) -> pl.Series:
    return finding.table.filter(pl.col("measure") == measure)["value"]


class OnPictures(InstrumentContract):
    """An instrument that takes prompts and seeds, and perhaps a judge."""

    arguments: ClassVar[dict[str, Any]] = {}

    def measure(self, instrument: Any, model: Model) -> Finding:
        finding: Finding = instrument(model, PROMPTS, SEEDS, **self.arguments)
        return finding


class Branches(OnPictures):
    """Interventions beside the untouched pictures."""

    keys = ("letters", "measure")
    scores_sites = False
    arguments: ClassVar[dict[str, Any]] = {"judge": Brightness()}
    letters: ClassVar[tuple[str, ...]]

    def expected_keys(self, model: Model) -> Iterable[tuple[str, str]]:
        return product((UNTOUCHED, *self.letters), MEASURES)

    def smooth(self, finding: Finding) -> pl.Series:
        return of_measure(finding, "fine detail of latents")

    def plotted(self, finding: Finding) -> pl.Series:
        return finding.table["value"]


class TestIntervene(Branches):
    letters = ("q1", "oUP1", "pALL", "r4")

    def instrument(self, model: Model) -> Intervene:
        return Intervene(self.letters, steps=STEPS)


class TestClock(Branches):
    letters = ("-0.2", "shuffled")

    def instrument(self, model: Model) -> Clock:
        return Clock(self.letters, steps=STEPS)


class TestDynamics(OnPictures):
    keys = ("measure", "site", "step")

    def instrument(self, model: Model) -> Dynamics:
        return Dynamics(steps=STEPS)

    def expected_keys(self, model: Model) -> Iterable[tuple[str, str, int]]:
        yield from product((CHANGE, WORDS), [""], range(STEPS))
        yield from product([UPDATE], [site.name for site in modules(model, "cross-attention")], range(STEPS))

    def smooth(self, finding: Finding) -> pl.Series:
        return of_measure(finding, UPDATE)

    def plotted(self, finding: Finding) -> pl.Series:
        return finding.table["value"]


def words_over_images(finding: Any) -> Any:
    """Maps as they lie over the pictures."""
    pairs = zip(finding.images, finding.heats, strict=True)
    large = [enlarge(heat, image) for image, heats in pairs for heat in heats.values()]
    return flat(heat / heat.max() for heat in large)


class TestMaps(OnPictures):
    keys = ("prompt", "word")
    scores_sites = False

    def instrument(self, model: Model) -> Maps:
        return Maps(steps=STEPS)

    def expected_keys(self, model: Model) -> Iterable[tuple[str, str]]:
        yield from product([PROMPTS[0]], ["a", "red", "church"])
        yield from product([PROMPTS[1]], ["a", "Church", "and", "dog"])

    def smooth(self, finding: Finding) -> pl.Series:
        return finding.table["mass"]

    def plotted(self, finding: Finding) -> Any:
        return words_over_images(finding)


class TestContributions(OnPictures):
    keys = ("prompt", "site")
    nullable = frozenset({"inside", "outside", "ratio", "low", "high"})

    def instrument(self, model: Model) -> Contributions:
        return Contributions("UP1,UP2", STEPS)

    def expected_keys(self, model: Model) -> Iterable[tuple[str, str]]:
        return product(PROMPTS, [site.name for site in modules(model, *ATTENTION) if site.label in ("UP1", "UP2")])

    def smooth(self, finding: Any) -> list[float]:
        return [heat.mean() for heats in finding.heats.values() for heat in heats]

    def plotted(self, finding: Any) -> Any:
        return flat(heat for heats in finding.heats.values() for heat in heats)


class Traces(OnPictures):
    """Traces, whose rows are a component each."""

    keys = ("site",)
    arguments: ClassVar[dict[str, Any]] = {"concept": "church", "judge": Brightness()}
    kinds: ClassVar[tuple[str, ...]]

    def expected_keys(self, model: Model) -> Iterable[tuple[str]]:
        return [(site.name,) for site in modules(model, *self.kinds)]

    def smooth(self, finding: Finding) -> pl.Series:
        return finding.table["restored"]

    def plotted(self, finding: Finding) -> pl.Series:
        return finding.table["effect"]


class TestTraceOfTheTextEncoder(Traces):
    kinds = ENCODER

    def instrument(self, model: Model) -> Trace:
        return Trace("text", "brightness", steps=1)


class TestTraceOfTheDenoiser(Traces):
    kinds = DENOISER

    def instrument(self, model: Model) -> Trace:
        return Trace("denoiser", "brightness", steps=1)

    def measure(self, instrument: Any, model: Model) -> Finding:
        finding: Finding = instrument(model, PROMPTS[:1], SEEDS[:1], **self.arguments)
        return finding


def width_of_three_windows(model: Model) -> int:
    return len(modules(model, "cross-attention")) - 2


class TestLocoGen(OnPictures):
    keys = ("window",)
    arguments: ClassVar[dict[str, Any]] = {"concept": "church", "label": "light", "judge": Brightness()}

    def instrument(self, model: Model) -> LocoGen:
        return LocoGen(width_of_three_windows(model), "fish", "shade", steps=1)

    def expected_keys(self, model: Model) -> Iterable[tuple[str]]:
        labels = [site.label for site in modules(model, "cross-attention")]
        yield (UNTOUCHED,)
        for first, last in zip(labels, labels[width_of_three_windows(model) - 1 :], strict=False):
            yield (f"{first} to {last}",)

    def smooth(self, finding: Any) -> list[float]:
        return brightness(image for images in finding.images.values() for image in images)

    def plotted(self, finding: Finding) -> pl.Series:
        return finding.table["score"]

    def most_sites(self, model: Model) -> int:
        return width_of_three_windows(model) + 1


class TestBlocks(OnPictures):
    keys = ("site",)
    arguments: ClassVar[dict[str, Any]] = {"concept": "church", "label": "light", "judge": Brightness()}

    def instrument(self, model: Model) -> Blocks:
        return Blocks(1, "fish", "shade", steps=1)

    def expected_keys(self, model: Model) -> Iterable[tuple[str]]:
        return [(site.name,) for site in modules(model, "cross-attention")]

    def smooth(self, finding: Finding) -> pl.Series:
        return finding.table["score"]

    def plotted(self, finding: Any) -> pl.Series:
        return pl.concat([finding.table["score"], finding.check["score"]])


class TestEntangle(InstrumentContract):
    keys = ("company",)
    scores_sites = False

    def instrument(self, model: Model) -> Entangle:
        return Entangle("shade", STEPS)

    def measure(self, instrument: Any, model: Model) -> Finding:
        finding: Finding = instrument(model, {"dark": ("dog", "church")}, SEEDS, judge=Brightness())
        return finding

    def expected_keys(self, model: Model) -> Iterable[tuple[str]]:
        return [("alone",), ("beside a neighbour",), ("beside another",)]

    def smooth(self, finding: Any) -> list[float]:
        return brightness(finding.images)

    def plotted(self, finding: Finding) -> pl.Series:
        return finding.table["value"]


class TestHeads(InstrumentContract):
    keys = ("site", "head", "part")
    rounding = 2  # a silhouette is a difference of two distances that are alike

    def instrument(self, model: Model) -> Heads:
        return Heads(shuffles=20)

    def measure(self, instrument: Any, model: Model) -> Finding:
        groups = {"animals": ("dog", "cat", "fish"), "vehicles": ("car", "truck"), "colours": ("red", "blue", "green")}
        finding: Finding = instrument(model, groups)
        return finding

    def expected_keys(self, model: Model) -> Iterable[tuple[str, int, str]]:
        for site in modules(model, "cross-attention"):
            module: Any = model.module(site.name)
            yield from product([site.name], range(module.heads), ("key", "value"))

    def smooth(self, finding: Finding) -> pl.Series:
        return finding.table["score"]

    def plotted(self, finding: Finding) -> pl.Series:
        return finding.table["score"]


class TestCOAR(InstrumentContract):
    keys = ("site",)
    rounding = 3  # J squares a small difference of two predictions

    def instrument(self, model: Model) -> COAR:
        return COAR(("cross-attention",), trials_needed(len(modules(model, "cross-attention")), 0.3), 0.3, steps=1)

    def measure(self, instrument: Any, model: Model) -> Finding:
        finding: Finding = instrument(model, PROMPTS[:1], SEEDS[:1])
        return finding

    def expected_keys(self, model: Model) -> Iterable[tuple[str]]:
        return [(site.name,) for site in modules(model, "cross-attention")]

    def smooth(self, finding: Any) -> pl.Series:
        return finding.whole - finding.table["measured"]

    def plotted(self, finding: Finding) -> Any:
        return flat(finding.table[name] for name in ("measured", "measured", "score", "cad"))


class TestSegment(InstrumentContract):
    keys = ("words",)
    scores_sites = False
    nullable = frozenset({"iou"})

    def instrument(self, model: Model) -> Segment:
        return Segment(updates=2, batch_size=2)

    def measure(self, instrument: Any, model: Model) -> Finding:
        images = [Image.new("RGB", model.size[::-1], colour) for colour in ("red", "teal")]
        finding: Finding = instrument(model, images, concept=PROMPTS)
        return finding

    def expected_keys(self, model: Model) -> Iterable[tuple[str]]:
        return [(prompt,) for prompt in PROMPTS]

    def smooth(self, finding: Any) -> list[float]:
        return [alpha.mean() for alpha in finding.alphas]

    def plotted(self, finding: Any) -> Any:
        return flat(finding.alphas)


class TestAgreement(InstrumentContract):
    """Of the trace above with itself: it takes a finding, and is no instrument of the command line."""

    keys = ("site",)
    reads_model = False

    def instrument(self, model: Model) -> Agreement:
        return Agreement(rounds=50)

    def measure(self, instrument: Any, model: Model) -> AgreementFinding:
        family = next(name for name in ("sd1", "sd2", "sdxl") if toy(name, model.dtype) is model)
        trace = measured(TestTraceOfTheTextEncoder, family, model.dtype).finding
        finding: AgreementFinding = instrument(trace, trace.table.select("site", pl.col("restored").alias("measured")))
        return finding

    def expected_keys(self, model: Model) -> Iterable[tuple[str]]:
        return [(site.name,) for site in modules(model, *ENCODER)]

    def smooth(self, finding: Finding) -> pl.Series:
        return finding.table["measured"]

    def plotted(self, finding: Finding) -> Any:
        return flat(finding.table[name] for name in ("score", "measured"))


TOUR = Tour("a red church", "church", (0,), steps=1)

STOPS: dict[str, Callable[[Any], Any]] = {
    "dynamics": lambda finding: finding.table["value"],
    "maps": words_over_images,
    "intervene": lambda finding: 1 - finding.grid("object kept")[2],
    "trace-denoiser": lambda finding: finding.table["effect"],
    "trace-text": lambda finding: finding.table["effect"],
    "heads": lambda finding: finding.table["score"],
}


@pytest.mark.parametrize("name", STOPS)
def test_a_stop_of_the_tour_measures_sums_up_and_plots_in_half_precision(name: str) -> None:
    model = toy("sd2", torch.bfloat16)
    (stop,) = (each for each in TOUR.stops(model, WorldlessJudge()) if each.name == name)
    finding = stop.run(None, None)
    assert finding.summary().endswith(".")
    assert "nan" not in finding.summary()
    check_plot(stop.plot(finding), STOPS[name](finding))
