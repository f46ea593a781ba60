"""Does the embedded model behave as Stable Diffusion does? Sever its cross-attention, and write docs/organism.md.

    python benchmarks/organism.py                 # about three quarters of an hour on one core, half of it for doses
    python benchmarks/organism.py --seeds 4 --only severed windows layers
    python benchmarks/organism.py --seeds 2 --doc /tmp/organism.md

Every row draws the same prompts with the same seeds: each of the ten, on a background, in a style. Intervals are over
prompts.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import polars as pl
from pages import DOCS, fill
from PIL import Image

import turpentine as tp
from turpentine.bench import Case, Protocol, measure
from turpentine.core.formatting import with_span
from turpentine.core.markdown import markdown_table
from turpentine.emoji.captions import object_caption, single_picture
from turpentine.emoji.world import COLOURS, NEIGHBOURS, SCENES, STYLES, TEN
from turpentine.erase.esd import ESD
from turpentine.explain._subjects import captions
from turpentine.judges import EmojiJudge
from turpentine.models.hooks import sever, swap
from turpentine.stats.intervals import Rate

WINDOWS = {"q1": (0.0, 0.1), "q2": (0.1, 0.3), "q3": (0.3, 0.6), "q4": (0.6, 1.0), "q1.2": (0.0, 0.26)}
"""Parts of the schedule, as the thesis names them (section 0.4.2)."""

LAYERS = {
    "LOWRES": ("DOWN5", "DOWN6", "MID", "UP1", "UP2", "UP3"),
    "HIGHRES": ("DOWN1", "DOWN2", "UP7", "UP8", "UP9"),
    "MID": ("MID",),
    "DOWN5": ("DOWN5",),
    "UP9": ("UP9",),
}
"""Groups of cross-attention modules, as the thesis names them."""


class World:
    """Draws all prompts with all seeds under some intervention, and says how it went."""

    def __init__(self, model: tp.Model, seeds: int) -> None:
        self.model, self.judge = model, EmojiJudge()
        self.pairs = [(one, seed) for one in captions(1) for seed in range(seeds)]
        self.modules = model.sites.only(kind="cross-attention", level="module")
        self.clean = self._draw(nullcontext())

    def row(self, name: str, intervention) -> list[str]:  # type: ignore[no-untyped-def]
        """Object, any object, style and colour in percent, then how layout and detail moved."""
        images = self._draw(intervention)
        layout, detail = moved(self.clean, images)
        print(f"{name}: drawn", file=sys.stderr, flush=True)
        return [name, *self._rates(images), f"{layout:.1f}", f"{detail:.1f}"]

    def _draw(self, intervention) -> list[Image.Image]:  # type: ignore[no-untyped-def]
        prompts, seeds = [one.prompt for one, _ in self.pairs], [seed for _, seed in self.pairs]
        with intervention:
            return self.model.generate(prompts, seeds=seeds, batch_size=40)

    def _rates(self, images: list[Image.Image]) -> list[str]:
        seen = self.judge(images)
        truths = {
            "object": [said == one.concept for said, (one, _) in zip(seen["object"], self.pairs, strict=True)],
            "any object": [said != "none" for said in seen["object"]],
            "style": [said == one.words["style"] for said, (one, _) in zip(seen["style"], self.pairs, strict=True)],
            "colour": [said == one.words["colour"] for said, (one, _) in zip(seen["colour"], self.pairs, strict=True)],
        }
        rates = [Rate.of(hits, [(one.prompt,) for one, _ in self.pairs]) for hits in truths.values()]
        return [with_span(rate) for rate in rates if rate is not None]


TABLES = ("severed", "windows", "layers", "variety", "doses")
"""Of the page."""

HEAD = ("", "object", "any object", "style", "colour", "layout moved", "detail moved")


def moved(before: Sequence[Image.Image], after: Sequence[Image.Image]) -> tuple[float, float]:
    """Mean absolute change, of 255, of the pictures shrunk to 4 × 4, and of what that leaves out."""
    x, y = (np.stack([np.asarray(image, np.float64) for image in images]) for images in (before, after))
    coarse = _coarse(y - x)
    return float(np.abs(coarse).mean()), float(np.abs(y - x - coarse).mean())


def _coarse(x: np.ndarray) -> np.ndarray:
    count, height, width, channels = x.shape
    blocks = x.reshape(count, 4, height // 4, 4, width // 4, channels).mean((2, 4), keepdims=True)
    return np.broadcast_to(blocks, (count, 4, height // 4, 4, width // 4, channels)).reshape(x.shape)


def severed(world: World) -> str:
    """Cross-attention off everywhere, and the caption exchanged for the empty one everywhere."""
    empty = world.model.encode([""])
    rows = [
        world.row("untouched", nullcontext()),
        world.row("severed everywhere (qALL)", sever(world.model, world.modules)),
        world.row("told the empty prompt everywhere", swap(world.model, world.modules, empty)),
    ]
    return markdown_table(HEAD, rows)


def windows(world: World) -> str:
    """Severed, or told the empty prompt, in one part of the schedule."""
    empty, rows = world.model.encode([""]), []
    for name, (start, stop) in WINDOWS.items():
        sites = world.modules.during(start, stop)
        share = f"{100 * start:.0f}–{100 * stop:.0f} %"
        rows.append(world.row(f"{name} ({share}), severed", sever(world.model, sites)))
        rows.append(world.row(f"{name.replace('q', 'p')} ({share}), empty prompt", swap(world.model, sites, empty)))
    return markdown_table(HEAD, rows)


def layers(world: World) -> str:
    """Severed, at all steps, in some modules, then in all but them."""
    rows = []
    for name, labels in LAYERS.items():
        chosen = world.modules.only(label=labels)
        rows.append(world.row(f"q{name}: {len(chosen)} severed", sever(world.model, chosen)))
        rest = world.modules - chosen
        rows.append(world.row(f"o{name}: the other {len(rest)} severed", sever(world.model, rest)))
    return markdown_table(HEAD, rows)


def variety(model: tp.Model, seeds: int) -> str:
    """What differs between seeds where the caption leaves it open: styles, backgrounds, places."""
    judge = EmojiJudge()
    rows = []
    for obj in ("church", "dog", "car", "tree"):
        drawn = judge(model.generate(object_caption(obj), seeds=list(range(seeds)), batch_size=40))
        rng = np.random.default_rng(0)
        pictures = [single_picture(rng, obj) for _ in range(20_000)]
        world = {"style": [p.placed[0].style for p in pictures], "colour": [p.background for p in pictures]}
        cells = []
        for attribute, answers in (("style", STYLES), ("colour", COLOURS)):
            got, there = entropy(drawn[attribute].to_list()), entropy(world[attribute])
            distinct = drawn[attribute].n_unique()
            cells.append(f"{got:.2f} of {there:.2f} bits ({100 * got / there:.0f} %), {distinct} of {len(answers)}")
        rows.append([object_caption(obj), *cells])
    return markdown_table(("", "style: model of world", "background: model of world"), rows)


DOSES = (25, 50, 100, 200)
"""Updates of ESD, from too few to more than enough."""


def doses(model: tp.Model, seeds: int) -> str:
    """ESD-x and ESD-u with growing numbers of updates: what is named, what is implied, neighbours and the others."""
    rows = []
    for obj in ("church", "dog"):
        rows.append([obj, "unedited", "0", *_kept(model, obj, seeds)])
        for sites in ("x", "u"):
            for updates in DOSES:
                edit = ESD.preset(model, sites=sites, steps=updates)(model, tp.Concept(obj))
                with edit.on(model):
                    rows.append([obj, f"ESD-{sites}", str(updates), *_kept(model, obj, seeds)])
                print(f"{obj}, ESD-{sites}, {updates} updates: drawn", file=sys.stderr, flush=True)
    return markdown_table(("concept", "method", "updates", "named", "its scenes", "its neighbours", "the others"), rows)


def _kept(model: tp.Model, obj: str, seeds: int) -> list[str]:
    """How often prompts show what they should: the object's name, its scenes, its neighbours, others of the ten."""
    near = NEIGHBOURS[obj]
    groups = {
        "named": [(object_caption(obj), obj)],
        "scenes": [(scene, obj) for scene, shown in SCENES.items() if shown == obj],
        "neighbours": [(object_caption(other), other) for other in near],
        "others": [(object_caption(other), other) for other in TEN if other != obj and other not in near],
    }
    asked = [Case(group, wanted, prompt, "object", wanted) for group, of in groups.items() for prompt, wanted in of]
    rows = measure(model, asked, EmojiJudge(), Protocol(seeds=tuple(range(2 * seeds)), batch_size=40)).rows
    parts = [rows.filter(pl.col("group") == group) for group in groups]
    rates = [Rate.of(part["hit"].to_list(), part.select("prompt").rows()) for part in parts]
    return [with_span(rate) for rate in rates if rate is not None]


def entropy(answers: Sequence[str]) -> float:
    """Of the answers' shares, in bits."""
    total = len(answers)
    return -sum(n / total * math.log2(n / total) for n in Counter(answers).values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8, help="pictures for each prompt")
    parser.add_argument("--only", nargs="+", choices=TABLES, default=TABLES, help="tables to make; the others stay")
    parser.add_argument("--doc", type=Path, default=DOCS / "organism.md")
    args = parser.parse_args()
    model = tp.load()
    world = World(model, args.seeds)
    tables = {
        "severed": lambda: severed(world),
        "windows": lambda: windows(world),
        "layers": lambda: layers(world),
        "variety": lambda: variety(model, 25 * args.seeds),
        "doses": lambda: doses(model, args.seeds),
    }
    for name in args.only:
        fill(args.doc, {f"organism-{name}": tables[name]()})


if __name__ == "__main__":
    main()
