"""Does locating help? ESD on one module of cross-attention and one part of the steps, for each of both.

    python benchmarks/places.py                                       # sixteen modules × four windows, four objects
    python benchmarks/places.py --objects church --updates 50 --keep runs/places

Of an edit: what is left of its object (four pictures of "a church") and of the nine others (a picture of each), with as
many updates in every place. Beside it stand the module's indirect effect in `explain trace`, and how often the object
goes when the three layers around the module are told the empty prompt (LocoGen). A run that was killed goes on.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch
from pages import DOCS, fill, percent, table

import turpentine as tp
from turpentine.concepts import with_article
from turpentine.core.parts import RECORDS, Parts
from turpentine.emoji.world import TEN
from turpentine.erase.esd import ESD
from turpentine.explain.locogen import LocoGen
from turpentine.explain.trace import Trace
from turpentine.judges import EmojiJudge
from turpentine.judges.base import hits
from turpentine.models.identity import describe
from turpentine.stats.correlation import spearman, spearman_interval
from turpentine.stats.intervals import Rate

OBJECTS = ("church", "dog", "truck", "fish")
WINDOWS = {"0–25 %": (0.0, 0.25), "25–50 %": (0.25, 0.5), "50–75 %": (0.5, 0.75), "75–100 %": (0.75, 1.0)}
WHOLE = "all steps"
STEPS = 10


class Grid:
    """Edits of one object in one place, and what they leave."""

    def __init__(self, updates: int, seeds: int, modules: list[str], keep: Path) -> None:
        self.model, self.judge, self.updates, self.seeds = tp.load(dtype=torch.float32), EmojiJudge(), updates, seeds
        self.parts: Parts[dict[str, list[bool]]] = Parts(keep, [describe(self.model), updates], RECORDS)
        self.every = [site.label for site in self.model.sites.only(kind="cross-attention", level="module")]
        self.modules = [label for label in self.every if not modules or label in modules]

    def measured(self, obj: str, module: str, window: str) -> dict[str, list[bool]]:
        """Of an edit: whether the object is still seen, in each of its pictures and over the seeds of the edit; and
        whether the others are."""
        left: dict[str, list[bool]] = {"erased": [], "others": []}
        for seed in range(self.seeds):
            found = self.parts.get([obj, module, window, seed])
            if found is None:
                found = self._edited(obj, module, window, seed)
                self.parts.put([obj, module, window, seed], found)
            for name, values in found.items():
                left[name] += values
        return left

    def _edited(self, obj: str, module: str, window: str, seed: int) -> dict[str, list[bool]]:
        during = (0.0, 1.0) if window == WHOLE else WINDOWS[window]
        sites = "x" if module == "ALL" else module
        method = ESD.preset(self.model, sites=sites, window=during, steps=self.updates, trajectories=4, seed=seed)
        edit = method(self.model, tp.Concept(obj))
        wanted = [obj] * 4 + [other for other in TEN if other != obj]
        prompts, seeds = [with_article(each) for each in wanted], [100, 101, 102, 103, *range(100, 109)]
        with edit.on(self.model):
            images = self.model.generate(prompts, seeds=seeds, steps=STEPS, batch_size=len(prompts))
        seen = hits(self.judge, "object", images, wanted)
        return {"erased": list(map(bool, seen[:4])), "others": list(map(bool, seen[4:]))}

    def located(self, obj: str) -> dict[str, tuple[float, float]]:
        """By module its indirect effect in a trace, and how often the object goes with LocoGen's window around it."""
        stored = self.parts.get([obj, "located"])
        if stored is None:
            about = {"concept": obj, "judge": self.judge}
            prompts, seeds = [with_article(obj)] * 8, range(8)
            traced = Trace("denoiser", "object", steps=STEPS)(self.model, prompts, list(seeds), **about)
            effects = traced.table.filter(pl.col("kind") == "cross-attention")
            windows = LocoGen(steps=STEPS)(self.model, prompts, list(seeds), **about)
            gone = windows.rows.group_by("window", maintain_order=True).agg(pl.col("gone").mean())
            gone = gone.filter(pl.col("window") != "untouched")["gone"].to_list()
            around = [gone[min(max(at - 1, 0), len(gone) - 1)] for at in range(len(self.every))]
            stored = {"trace": effects["effect"].to_list(), "locogen": around}
            self.parts.put([obj, "located"], stored)
        return dict(zip(self.every, zip(stored["trace"], stored["locogen"], strict=True), strict=True))


def left(values: list[bool], clusters: list[tuple[str, ...]]) -> str:
    rate = Rate.of(values, clusters)
    assert rate is not None  # there is a picture at least
    return percent(rate)


def rows_of(grid: Grid, objects: list[str]) -> tuple[list[list[str]], list[tuple[str, str, str, float, float]]]:
    """A line for each module, a pair of columns for each window; and the numbers behind them."""
    lines, numbers = [], []
    for module in (*grid.modules, "ALL"):
        cells = []
        for window in (*WINDOWS, WHOLE):
            erased: list[bool] = []
            others: list[bool] = []
            clusters: list[tuple[str, ...]] = []
            others_clusters: list[tuple[str, ...]] = []
            for obj in objects:
                found = grid.measured(obj, module, window)
                numbers.append((obj, module, window, float(np.mean(found["erased"])), float(np.mean(found["others"]))))
                erased += found["erased"]
                others += found["others"]
                clusters += [(obj,)] * len(found["erased"])
                names = [other for other in TEN if other != obj] * grid.seeds
                others_clusters += [(obj, other) for other in names]
            cells.append(f"{left(erased, clusters)} · {left(others, others_clusters)}")
        lines.append([module, *cells])
        print(f"{module}: {time.strftime('%H:%M')}", file=sys.stderr, flush=True)
    return lines, numbers


def agreement(grid: Grid, objects: list[str], numbers: list[tuple[str, str, str, float, float]]) -> str:
    """Do a trace and LocoGen point at the module where an edit over all steps achieves most?

    An edit achieves the share of the object's pictures that lose it, less that of the others'.
    """
    places = {obj: grid.located(obj) for obj in objects}
    achieved = {
        (obj, module): (1 - erased) - (1 - others)
        for obj, module, window, erased, others in numbers
        if window == WHOLE and module != "ALL"
    }
    mean = np.array([np.mean([achieved[obj, module] for obj in objects]) for module in grid.modules])
    lines = []
    for column, name in enumerate(("indirect effect in a trace", "pictures lost in LocoGen's windows")):
        score = np.array([np.mean([places[obj][module][column] for obj in objects]) for module in grid.modules])
        low, high = spearman_interval(score, mean, rounds=1000)
        lines.append(
            [name, f"{spearman(score, mean):.2f} ({low:.2f} to {high:.2f})", grid.modules[int(score.argmax())]]
        )
    best = grid.modules[int(mean.argmax())]
    note = f"Most is achieved in {best}: {100 * mean.max():.0f} points, {100 * mean.mean():.0f} in the mean of all."
    return f"{table(['located by', 'ρ with what an edit there achieves', 'points to'], lines)}\n\n{note}"


def fewest(numbers: list[tuple[str, str, str, float, float]]) -> str:
    """What others lose where as much is erased: all places against those of all modules and all steps."""
    by_place: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _, module, window, erased, others in numbers:
        by_place.setdefault((module, window), []).append((erased, others))
    rows = []
    for (module, window), each in by_place.items():
        erased, others = (float(np.mean(values)) for values in zip(*each, strict=True))
        rows.append((1 - erased - (1 - others), module, window, erased, others))
    lines = [
        [module, window, f"{100 * erased:.0f}", f"{100 * others:.0f}"]
        for _, module, window, erased, others in sorted(rows, reverse=True)[:6]
    ]
    return table(["module", "steps", "still shown, %", "others, %"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", nargs="+", default=list(OBJECTS))
    parser.add_argument("--modules", nargs="+", default=[], help="labels of modules; all by default")
    parser.add_argument("--updates", type=int, default=200, help="of ESD, in every place")
    parser.add_argument("--seeds", type=int, default=3, help="of the edit")
    parser.add_argument("--docs", type=Path, default=DOCS, help="the folder of the pages")
    parser.add_argument("--keep", type=Path, default=Path("runs/places"), help="the folder of what is finished")
    args = parser.parse_args()
    args.docs.mkdir(parents=True, exist_ok=True)
    grid = Grid(args.updates, args.seeds, args.modules, args.keep)
    lines, numbers = rows_of(grid, args.objects)
    head = ["module", *(f"{window}: left · others, %" for window in (*WINDOWS, WHOLE))]
    parts = {"places": table(head, lines), "places-best": fewest(numbers)}
    parts["places-located"] = agreement(grid, args.objects, numbers)
    fill(args.docs / "tracing.md", parts)


if __name__ == "__main__":
    main()
