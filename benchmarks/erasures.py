"""Erase each of the ten with ESD-x and ESD-u, then a style and an artist, and write the tables of docs/erasures.md.

    python benchmarks/erasures.py                 # a killed run continues
    python benchmarks/erasures.py --seeds 5 --out /tmp/erasures --doc /tmp/erasures.md

Every model, edited or not, draws the same prompts with the same seeds. Edits and rows stay in `--out`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from pages import DOCS, fill

import turpentine as tp
from turpentine.bench.measurement import measure
from turpentine.core.atomic_files import write_whole
from turpentine.core.formatting import with_span
from turpentine.core.hashing import digest
from turpentine.core.markdown import markdown_table
from turpentine.core.safe_text import safe_name
from turpentine.emoji.captions import object_caption
from turpentine.emoji.world import NEIGHBOURS, SCENES, STYLES, TEN, WORKS, styles_of
from turpentine.judges import EmojiJudge
from turpentine.models import Trajectory
from turpentine.models.identity import describe
from turpentine.models.loading.load import load
from turpentine.runs.protocol import Protocol
from turpentine.runs.specs import JudgeSpec, comparable
from turpentine.stats.intervals import Rate, mean_score
from turpentine.tasks.cases import Case

OWN_CAPTIONS = {"eta": 1.5, "trajectories": 8, "sampling_steps": 20, "steps": 200, "batch_size": 8, "lr": 5e-4}
"""ESD as it is published, on the concept's own prompts, at the small world's dose."""

METHODS = ["x", "u"]
"""The parameter sets of ESD; `--sets` narrows them."""


@dataclass(frozen=True)
class Erasure:
    """One concept taken out with one parameter set of ESD."""

    concept: tp.Concept
    sites: str

    @property
    def name(self) -> str:
        return f"{safe_name(self.concept.text)}-esd-{self.sites}"


def cases(kind: str | None = None) -> list[Case]:
    """What a model is asked to draw after a concept of this kind was erased; all of it for None."""
    asked = [Case("object", obj, object_caption(obj), "object", obj) for obj in TEN]
    if kind in (None, "object"):
        near = dict.fromkeys(obj for pair in NEIGHBOURS.values() for obj in pair if obj not in TEN)
        asked += [Case("near", obj, object_caption(obj), "object", obj) for obj in near]
        asked += [Case("scene", scene, scene, "object", obj) for scene, obj in SCENES.items() if obj in TEN]
    if kind in (None, "style"):
        for s, style in enumerate(STYLES):
            drawn = [obj for obj in TEN if style in styles_of(obj)]
            chosen = [drawn[(s + 2 * k) % len(drawn)] for k in range(2)]
            asked += [Case("style", style, object_caption(obj, style), "style", style) for obj in chosen]
    if kind in (None, "artist"):
        asked += [Case("work", work.title, work.caption, "work", work.title) for work in WORKS]
        asked += [Case("title", work.title, work.title, "work", work.title) for work in WORKS]
    return asked


def erasures() -> Iterator[Erasure]:
    for sites in METHODS:
        for obj in TEN:
            yield Erasure(tp.Concept(obj), sites)
        yield Erasure(tp.Concept("ink", kind="style"), sites)
        yield Erasure(tp.Concept("lumen", kind="artist"), sites)


class Rows:
    """Edits and measured rows, kept in a folder under all that decides them, so that a killed run continues."""

    def __init__(self, model: tp.Model, folder: Path, seeds: int) -> None:
        self.model, self.folder = model, folder
        self.judge, self.protocol = EmojiJudge(), Protocol(seeds=tuple(range(seeds)), batch_size=40)

    def unedited(self) -> pl.DataFrame:
        return self._rows("unedited", cases())

    def edit(self, erasure: Erasure) -> tp.Edit:
        method = tp.methods.ESD(sites=erasure.sites, **OWN_CAPTIONS)
        path = self._path(erasure.name, method, erasure.concept).with_suffix(".safetensors")
        if not path.exists():
            method(self.model, erasure.concept).save(path)
        return tp.Edit.load(path)

    def after(self, erasure: Erasure) -> pl.DataFrame:
        edit = self.edit(erasure)
        with edit.on(self.model):
            return self._rows(erasure.name, cases(erasure.concept.kind), edit.id)

    def _rows(self, name: str, asked: list[Case], edit: str = "") -> pl.DataFrame:
        path = self._path(name, edit, comparable(asked, [JudgeSpec.of(self.judge)], self.protocol)).with_suffix(
            ".parquet"
        )
        if not path.exists():
            began = time.monotonic()
            rows = measure(self.model, asked, self.judge, self.protocol).rows
            with write_whole(path) as aside:
                rows.write_parquet(aside)
            print(f"{name}: drawn in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        return pl.read_parquet(path)

    def _path(self, name: str, *decisive: object) -> Path:
        key = digest([describe(self.model), *map(repr, decisive)])
        return self.folder / f"{name}-{key[:12]}"


def rate(rows: pl.DataFrame, *conditions: pl.Expr) -> Rate:
    chosen = rows.filter(*conditions)
    found = Rate.of(chosen["hit"].to_list(), chosen.select("prompt").rows())
    assert found is not None
    return found


GROUP, LABEL, WANTED = pl.col("group"), pl.col("label"), pl.col("expected")


def object_row(obj: str, tables: Sequence[pl.DataFrame]) -> str:
    """Erased, neighbours, others and scenes of one object, unedited and after each method."""
    of = {
        "erased": (GROUP == "object", obj == WANTED),
        "others": (GROUP == "object", obj != WANTED),
        "scenes": (GROUP == "scene", obj == WANTED),
    }
    conditions = [with_span(rate(rows, *conditions)) for conditions in of.values() for rows in tables]
    return f"| {obj} | " + " | ".join(conditions) + " |"


def _names() -> str:
    return " | ".join(f"ESD-{sites}" for sites in METHODS)


def _heads(what: str) -> str:
    return " | ".join(f"{what}: {when}" for when in ("before", *(f"ESD-{sites}" for sites in METHODS)))


def object_table(kept: Rows) -> str:
    before = kept.unedited()
    tables = {obj: [before, *(kept.after(Erasure(tp.Concept(obj), sites)) for sites in METHODS)] for obj in TEN}
    lines = [
        "| | " + " | ".join(_heads(what) for what in ("erased", "others", "scenes")) + " |",
        "|---" * (1 + 3 * (1 + len(METHODS))) + "|",
        *(object_row(obj, rows) for obj, rows in tables.items()),
        "| **mean** | " + " | ".join(map(with_span, _means(tables))) + " |",
    ]
    return "\n".join(lines)


def _means(tables: dict[str, list[pl.DataFrame]]) -> Iterator[Rate]:
    """The rates over all objects, with intervals over objects."""
    wanted = {
        "object": lambda obj: obj == WANTED,
        "other": lambda obj: obj != WANTED,
        "scene": lambda obj: obj == WANTED,
    }
    for what, condition in wanted.items():
        group = "scene" if what == "scene" else "object"
        for index in range(1 + len(METHODS)):
            each = {obj: rows[index].filter(group == GROUP, condition(obj))["hit"] for obj, rows in tables.items()}
            found = Rate.of(
                [hit for hits in each.values() for hit in hits], [(obj,) for obj in each for _ in each[obj]]
            )
            assert found is not None
            yield found


def neighbour_lines(kept: Rows) -> str:
    """What the two neighbours of an erased object lose, and the other objects; each picture by its mean change."""
    lines = ["| | | change in points |", "|---|---|---|"]
    for sites in METHODS:
        changes = pl.concat([_changes(kept, obj, sites) for obj in TEN])
        for name, is_near in (("the two neighbours", True), ("all other objects", False)):
            means = changes.filter(pl.col("near") == is_near).group_by("prompt", "seed").agg(pl.col("change").mean())
            value, low, high = mean_score(means["change"].to_list(), clusters=means.select("prompt").rows())
            lines.append(f"| ESD-{sites} | {name} | {100 * value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f}) |")
    return "\n".join(lines)


def _changes(kept: Rows, obj: str, sites: str) -> pl.DataFrame:
    """After − before of each picture of another object."""
    others = GROUP.is_in(["object", "near"]) & (obj != WANTED)
    before = (
        kept.unedited().filter(others).select("prompt", "seed", "expected", pl.col("hit").cast(pl.Int8).alias("was"))
    )
    after = (
        kept.after(Erasure(tp.Concept(obj), sites)).filter(others).select("prompt", "seed", pl.col("hit").cast(pl.Int8))
    )
    both = before.join(after, on=["prompt", "seed"])
    near = WANTED.is_in(list(NEIGHBOURS[obj])).alias("near")
    return both.select("prompt", "seed", near, (pl.col("hit") - pl.col("was")).cast(pl.Float64).alias("change"))


def style_table(kept: Rows) -> str:
    of = {"ink": (GROUP == "style", WANTED == "ink"), "the seven other styles": (GROUP == "style", WANTED != "ink")}
    of["the ten objects"] = (GROUP == "object",)
    return _small_table(kept, tp.Concept("ink", kind="style"), of)


def artist_table(kept: Rows) -> str:
    mine = [work.title for work in WORKS if work.artist == "lumen"]
    of = {
        "works by lumen, title and artist named": (GROUP == "work", LABEL.is_in(mine)),
        "works by lumen, title alone": (GROUP == "title", LABEL.is_in(mine)),
        "works by others, title and artist named": (GROUP == "work", ~LABEL.is_in(mine)),
        "the ten objects": (GROUP == "object",),
    }
    return _small_table(kept, tp.Concept("lumen", kind="artist"), of)


def _small_table(kept: Rows, concept: tp.Concept, of: dict[str, tuple[pl.Expr, ...]]) -> str:
    tables = [kept.unedited(), *(kept.after(Erasure(concept, sites)) for sites in METHODS)]
    lines = [f"| | before | {_names()} |", "|---" * (2 + len(METHODS)) + "|"]
    lines += [
        f"| {name} | " + " | ".join(with_span(rate(rows, *which)) for rows in tables) + " |"
        for name, which in of.items()
    ]
    return "\n".join(lines)


@torch.no_grad()
def direction_table(kept: Rows, runs: int = 4) -> str:
    """How far an edit moves both predictions along d = ε(x_t, c) − ε(x_t, ∅), and what of d is left to guidance.

    Over the points of stored runs of the unedited model, in units of d, summed over points: with an edit's changes Δ,
    Σ Δε_c·d / Σ d·d, the same for ε_∅, and 1 plus the first minus the second.
    """
    model, moves = kept.model, {sites: [] for sites in METHODS}
    for obj in TEN:
        prompts, seeds = [object_caption(obj)] * runs, list(range(1000, 1000 + runs))
        run = Trajectory.record(model, prompts, seeds, steps=20, guidance_scale=4.0)
        x, cond, uncond = (each.flatten(0, 1) for each in (run.x, run.eps_cond, run.eps_uncond))
        t = run.timesteps.repeat_interleave(runs)
        told, empty = (model.encode([text]).repeat(len(x)) for text in (prompts[0], ""))
        d = cond - uncond
        for sites in METHODS:
            with kept.edit(Erasure(tp.Concept(obj), sites)).on(model):
                changes = model.eps(x, t, told) - cond, model.eps(x, t, empty) - uncond
            moves[sites].append([float((change * d).sum() / (d * d).sum()) for change in changes])
    head = ["", *(f"ESD-{sites}: {what}" for sites in METHODS for what in ("ε(x, c)", "ε(x, ∅)", "left"))]
    rows = [[obj, *_moved(*(moves[sites][index] for sites in METHODS))] for index, obj in enumerate(TEN)]
    means = [np.mean(moves[sites], axis=0).tolist() for sites in METHODS]
    return markdown_table(head, [*rows, ["**mean**", *_moved(*means)]])


def _moved(*pairs: list[float]) -> list[str]:
    return [f"{value:+.2f}" for cond, uncond in pairs for value in (cond, uncond, 1 + cond - uncond)]


MARKS = ("objects", "neighbours", "directions", "style", "artist")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="pictures for each prompt")
    parser.add_argument("--out", type=Path, default=Path("runs/erasures"))
    parser.add_argument("--doc", type=Path, default=DOCS / "erasures.md")
    parser.add_argument("--sets", nargs="+", choices=list(METHODS), default=list(METHODS), help="parameter sets of ESD")
    args = parser.parse_args()
    METHODS[:] = args.sets
    kept = Rows(load("emoji"), args.out, args.seeds)
    kept.unedited()
    for erasure in erasures():
        kept.after(erasure)
    tables = (object_table(kept), neighbour_lines(kept), direction_table(kept), style_table(kept), artist_table(kept))
    fill(args.doc, dict(zip(MARKS, tables, strict=True)))


if __name__ == "__main__":
    main()
