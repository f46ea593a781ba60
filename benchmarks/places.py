"""Does locating help? ESD on some modules of cross-attention and one part of the steps, for each of both.

    python benchmarks/places.py                            # sixteen modules × four windows, four objects, three seeds
    python benchmarks/places.py --modules HIGHRES UP4,UP5,UP6 DOWN3,DOWN4 LOWRES --objects church dog --updates 100

Of an edit: what is left of its object and of the nine others, with as many updates in every place. Beside it stand the
largest indirect effect that `explain trace` finds among the modules, and how often the object goes when they are told
the empty prompt, as LocoGen does. Each edit is stored as it is done: a run that was killed goes on, and one with more
objects, seeds or modules takes those that are there. The tables are of what was asked for.
"""

from __future__ import annotations

import sys
import time
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import torch
from pages import fill, page_parser, parsed

import turpentine as tp
from turpentine.concepts import with_article
from turpentine.core.formatting import with_span
from turpentine.core.markdown import markdown_table
from turpentine.core.parts import RECORDS, Parts
from turpentine.emoji.world import TEN
from turpentine.erase.esd import ESD
from turpentine.explain._branches import draw_branches
from turpentine.explain._codes import modules_called
from turpentine.explain.trace import Trace
from turpentine.judges import EmojiJudge
from turpentine.judges.base import hits
from turpentine.models.branches import Intervention
from turpentine.models.hooks import read_instead
from turpentine.models.identity import describe
from turpentine.stats.correlation import spearman, spearman_interval
from turpentine.stats.intervals import Rate

OBJECTS = ("church", "dog", "truck", "fish")
WINDOWS = {"0–25 %": (0.0, 0.25), "25–50 %": (0.25, 0.5), "50–75 %": (0.5, 0.75), "75–100 %": (0.75, 1.0)}
WHOLE, ALL = "all steps", "ALL"
STEPS = 10
OWN, OTHERS = 8, 2
"""Pictures of the object, and of each of the others."""

FEWEST_RANKED = 8
"""Places of which a rank correlation is given."""

Key = tuple[str, str, str, int]
"""Of an edit: object, modules, window, seed."""


class Grid:
    """Edits, and what they leave."""

    def __init__(self, updates: int, keep: Path) -> None:
        self.model, self.judge, self.updates = tp.load(dtype=torch.float32), EmojiJudge(), updates
        self.parts: Parts[dict[str, list[bool]]] = Parts(keep, [describe(self.model), updates, OWN, OTHERS], RECORDS)
        self.scores: Parts[dict[str, float]] = Parts(keep, [describe(self.model), "located"], RECORDS)

    def left(self, key: Key) -> dict[str, list[bool]]:
        """Whether the object is still seen after the edit, and whether the others are, in each picture."""
        found = self.parts.get(list(key))
        if found is None:
            found = self._edited(*key)
            self.parts.put(list(key), found)
        return found

    def _edited(self, obj: str, modules: str, window: str, seed: int) -> dict[str, list[bool]]:
        layers = self.model.sites.only(kind="cross-attention", level="layer")
        method = ESD.preset(
            self.model,
            sites=modules_called(layers, modules),
            window=WINDOWS.get(window, (0.0, 1.0)),
            steps=self.updates,
            seed=seed,
        )
        edit = method(self.model, tp.Concept(obj))
        others = [other for other in TEN if other != obj for _ in range(OTHERS)]
        objects, seeds = [obj] * OWN + others, [*range(100, 100 + OWN), *range(100, 100 + len(others))]
        with edit.on(self.model):
            images = self.model.generate([with_article(each) for each in objects], seeds=seeds, steps=STEPS)
        seen = list(map(bool, hits(self.judge, "object", images, objects)))
        return {"erased": seen[:OWN], "others": seen[OWN:]}

    def traced(self, obj: str, modules: str) -> float:
        """The largest indirect effect among the modules."""
        stored = self.scores.get(["trace", obj])
        if stored is None:
            about = {"concept": obj, "judge": self.judge}
            found = Trace("denoiser", "object", steps=STEPS)(self.model, [with_article(obj)] * 8, range(8), **about)
            part = found.table.filter(pl.col("kind") == "cross-attention")
            stored = dict(part.select("label", "effect").rows())
            self.scores.put(["trace", obj], stored)
        every = self.model.sites.only(kind="cross-attention", level="module")
        return max(stored[site.label] for site in modules_called(every, modules))

    def swapped(self, obj: str, modules: str) -> float:
        """How often the object goes when the modules are told the empty prompt."""
        stored = self.scores.get(["empty prompt", obj, modules])
        if stored is None:
            every = self.model.sites.only(kind="cross-attention", level="module")
            change = read_instead(self.model, self.model.encode([""]))
            branches = draw_branches(
                self.model,
                {modules: Intervention(before={modules_called(every, modules): change})},
                [with_article(obj)] * 8,
                list(range(8)),
                steps=STEPS,
                guidance_scale=4.0,
                rows=64,
                parts=Parts(None, None),
            )
            stored = {"gone": 1 - float(np.mean(hits(self.judge, "object", branches.images[modules], [obj] * 8)))}
            self.scores.put(["empty prompt", obj, modules], stored)
        return stored["gone"]


def rows_of(grid: Grid, keys: list[Key]) -> pl.DataFrame:
    """A row for each picture of every edit; says how far it is."""
    rows = []
    for at, key in enumerate(keys, start=1):
        obj, modules, window, seed = key
        left = grid.left(key)
        others = [other for other in TEN if other != obj for _ in range(OTHERS)]
        for of, seen in [*((obj, one) for one in left["erased"]), *zip(others, left["others"], strict=True)]:
            rows.append((obj, modules, window, seed, of, of == obj, seen))
        print(f"{at} of {len(keys)} edits, {time.strftime('%H:%M')}: {', '.join(map(str, key))}", file=sys.stderr)
    return pl.DataFrame(rows, ["object", "modules", "window", "seed", "of", "own", "seen"], orient="row")


def rate(rows: pl.DataFrame, own: bool) -> Rate:
    """How many pictures still show what they should, with the interval over objects, and over the edits of each."""
    part = rows.filter(pl.col("own") == own)
    found = Rate.of(part["seen"].to_list(), part.select("object", "seed").rows())
    assert found is not None  # there is a picture at least
    return found


def achieved(rows: pl.DataFrame) -> float:
    """The share of the object's pictures that lose it, less that of the others'."""
    return rate(rows, own=False).value - rate(rows, own=True).value


def places(rows: pl.DataFrame, modules: list[str]) -> str:
    """A line for some modules, a cell for each window."""
    windows, lines = [*WINDOWS, WHOLE], []
    for name in modules:
        parts = [rows.filter((pl.col("modules") == name) & (pl.col("window") == window)) for window in windows]
        lines.append([name, *(f"{with_span(rate(part, True))} · {with_span(rate(part, False))}" for part in parts)])
    return markdown_table(["modules", *(f"{window}: left · others, %" for window in windows)], lines)


def best(rows: pl.DataFrame) -> str:
    """The six places where an edit achieves most."""
    parts = [(achieved(part), *name, part) for name, part in rows.group_by("modules", "window", maintain_order=True)]
    lines = [
        [str(modules), str(window), f"{100 * score:.0f}", with_span(rate(part, True)), with_span(rate(part, False))]
        for score, modules, window, part in sorted(parts, key=lambda each: -each[0])[:6]
    ]
    return markdown_table(["modules", "steps", "achieves, points", "still shown, %", "others, %"], lines)


def located(grid: Grid, rows: pl.DataFrame, objects: list[str], modules: list[str]) -> str:
    """What a trace and the empty prompt say of the modules, and what an edit there over all steps achieves."""
    lines, scores = [], []
    for name in modules:
        score = [float(np.mean([of(obj, name) for obj in objects])) for of in (grid.traced, grid.swapped)]
        value = achieved(rows.filter((pl.col("modules") == name) & (pl.col("window") == WHOLE)))
        scores.append([*score, value])
        lines.append([name, *(f"{100 * each:.0f}" for each in scores[-1])])
    head = ["modules", "largest effect in a trace, points", "lost with the empty prompt, %", "an edit achieves, points"]
    if len(modules) < FEWEST_RANKED:
        return markdown_table(head, lines)
    trace, swap, value = np.array(scores).T
    spans = [(spearman(x, value), *spearman_interval(x, value, rounds=1000)) for x in (trace, swap)]
    said = ["{:.2f} ({:.2f} to {:.2f})".format(*span) for span in spans]
    note = f"Spearman’s ρ with what an edit achieves: of a trace {said[0]}, of the empty prompt {said[1]}."
    return f"{markdown_table(head, lines)}\n\n{note}"


def main() -> None:
    parser = page_parser(__doc__, keep="places")
    parser.add_argument("--objects", nargs="+", default=list(OBJECTS))
    parser.add_argument(
        "--modules", nargs="+", default=[], help="labels or groups, with commas; each module by default"
    )
    parser.add_argument("--updates", type=int, default=ESD.small_world["steps"], help="of ESD, in every place")
    parser.add_argument("--seeds", type=int, default=3, help="of the edit")
    args = parsed(parser)
    grid = Grid(args.updates, args.keep)
    every = [site.label for site in grid.model.sites.only(kind="cross-attention", level="module")]
    modules = args.modules or every
    # By seed, so that a run that was broken off has every place as often as it can.
    keys = [
        (obj, name, window, seed)
        for seed, obj, name, window in product(range(args.seeds), args.objects, [*modules, ALL], [*WINDOWS, WHOLE])
    ]
    rows = rows_of(grid, keys)
    parts = {"places": places(rows, [*modules, ALL]), "places-best": best(rows)}
    parts["places-located"] = located(grid, rows, args.objects, modules)
    fill(args.docs / "tracing.md", parts)


if __name__ == "__main__":
    main()
