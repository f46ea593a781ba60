"""Do colours stay with their nouns? Cross-attention severed in the larger world, whose objects have colours.

    python benchmarks/tints.py                 # 24 captions of `emoji-64`; a quarter of an hour on one core
    python benchmarks/tints.py --captions 2 --seeds 1 --letters q1.2 --docs /tmp/pages

"a red church on a blue background" names two colours. The larger world's judge says which the object has, which the
background, and what the object is; how far it is right is measured beforehand on renders, where the truth is known. And
whether the heads of cross-attention tell objects of one colour from those of another, by their keys and values. Goes
into docs/time.md, words.md and heads.md; intervals are over captions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from caption_branches import caption_branches
from pages import fill, page_parser, parsed
from PIL import Image

import turpentine as tp
from turpentine.core.formatting import with_span
from turpentine.core.markdown import markdown_table
from turpentine.emoji import LARGER_WEIGHTS
from turpentine.emoji.captions import object_caption, single_picture
from turpentine.emoji.judge_network import load_judge
from turpentine.emoji.world import TEN, TINTABLE, TINTS, render, styles_of, tints_of, visible_on
from turpentine.explain._branches import UNTOUCHED, Branches
from turpentine.explain._codes import intervention
from turpentine.explain._image_stats import foreground, overlap
from turpentine.explain._pages import spanned
from turpentine.explain.heads import Heads
from turpentine.explain.maps import Maps
from turpentine.stats.intervals import Estimate, Rate, mean_score

LETTERS = ("q1", "q2", "q3", "q4", "q1.2", "o1", "qALL", "qHIGHRES", "qLOWRES", "oHIGHRES", "oLOWRES", "oMID")
STEPS, RENDERS = 10, 400
OBJECTS = (*(obj for obj in TEN if obj in TINTABLE), "car", "house", "guitar")
THINGS = ("car", "house", "fish", "church")
"""Of which heads are asked, in each colour."""

SHOWN = ("UP4", "MID")
"""Modules whose heads have a mean of their own: the thesis sees colours in the first, and not in the other."""


class Tinted(NamedTuple):
    """What a caption names."""

    object: str
    tint: str
    colour: str

    @property
    def prompt(self) -> str:
        return object_caption(self.object, None, self.colour, tint=self.tint)


def captions(count: int) -> list[Tinted]:
    """Objects in turns, each in a colour that training shows it in, on a background that shows it in every style."""
    every = []
    for number in range(count):
        obj = OBJECTS[number % len(OBJECTS)]
        tint = tints_of(obj)[(number + number // len(OBJECTS)) % len(tints_of(obj))]
        shown = [set(visible_on(obj, style, tint)) for style in styles_of(obj)]
        colours = [colour for colour in TINTS if colour != tint and all(colour in each for each in shown)]
        every.append(Tinted(obj, tint, colours[number % len(colours)]))
    return every


class Sight:
    """What the larger world's judge sees."""

    def __init__(self) -> None:
        self.network = load_judge(LARGER_WEIGHTS / "judge.safetensors")

    def __call__(self, images: Sequence[Image.Image]) -> Mapping[str, list[str]]:
        """The likeliest answer to each question, by picture."""
        found = self.network.probabilities(images)
        return {name: [self.network.answers[name][at] for at in p.argmax(1).tolist()] for name, p in found.items()}

    def on_renders(self) -> str:
        """How often it is right on fresh renders of coloured objects."""
        rng, truths, images = np.random.default_rng(1), [], []
        for each in captions(RENDERS):
            picture = single_picture(rng, each.object, None, each.colour, tint=each.tint)
            truths.append(each)
            images.append(Image.fromarray(render(picture, 64)))
        seen = self(images)
        rows = []
        for name, field in (("object", "object"), ("its colour", "tint"), ("the background's", "colour")):
            right = [one == getattr(each, field) for one, each in zip(seen[field], truths, strict=True)]
            rate = Rate.of(right, [(each.object,) for each in truths])
            rows.append(f"{name} {with_span(rate)} %" if rate else "")
        return f"On {RENDERS} renders the judge is right about the " + ", ".join(rows) + "."


def severed(model: tp.Model, count: int, seeds: int, letters: Sequence[str], keep: Path) -> Branches:
    """Draw the captions untouched and under each intervention."""
    cuts, prompts = {code: intervention(model, code) for code in letters}, [each.prompt for each in captions(count)]
    about = [model.name, STEPS, list(letters)]
    return caption_branches(model, cuts, prompts, seeds, keep, about, steps=STEPS, rows=64)


def table(branches: Branches, sight: Sight, count: int, seeds: int) -> str:
    """By intervention: what is as the caption says, and whether the object has the background's colour instead."""
    of, rows = [each for each in captions(count) for _ in range(seeds)], []
    clusters = [(each.prompt,) for each in of]
    for name, images in branches.images.items():
        seen = sight(images)
        right = {
            field: [one == getattr(each, field) for one, each in zip(seen[field], of, strict=True)]
            for field in ("object", "tint", "colour")
        }
        swapped = [one == each.colour for one, each in zip(seen["tint"], of, strict=True)]
        rates = [Rate.of(each, clusters) for each in (*right.values(), swapped)]
        untouched = zip(images, branches.images[UNTOUCHED], strict=True)
        layout = [overlap(foreground(now), foreground(before)) for now, before in untouched]
        numbers = [*(with_span(rate) for rate in rates if rate), spanned(mean_score(layout, clusters=clusters))]
        rows.append([name, *numbers])
    head = [
        "",
        "object, %",
        "its colour, %",
        "the background's, %",
        "object has the background's colour, %",
        "layout, %",
    ]
    return markdown_table(head, rows)


def maps(model: tp.Model, count: int) -> tuple[str, str]:
    """Where the words of a caption are looked at: each against the object, and how two of them overlap."""
    of = captions(count)
    finding = Maps(sites="HIGHRES", batch_size=8)(model, [each.prompt for each in of], range(1))
    words = {
        "the object’s name": [each.object.split()[-1] for each in of],
        "its colour": [each.tint for each in of],
        "the background’s colour": [each.colour for each in of],
    }
    clusters = [(each.prompt,) for each in of]
    things, rows = [foreground(image) for image in finding.images], []
    against = {(row["picture"], row["word"]): row for row in finding.against(things).iter_rows(named=True)}
    for name, each in words.items():
        found = [against[at, word] for at, word in enumerate(each)]
        numbers = [[row[column] for row in found] for column in ("auc", "iou")]
        numbers.append([float(finding.mask(at, word).mean()) for at, word in enumerate(each)])
        rank, *shares = (mean_score(column, clusters=clusters) for column in numbers)
        rows.append([name, spanned(rank, 1, 2), *map(spanned, shares)])
    head = ["map of", "AUC of the object", "overlap of its mask, %", "mask of the picture, %"]
    overlaps = {(row[0], row[1], row[2]): row[3:] for row in finding.overlaps().iter_rows()}
    pairs = []
    for name, dependents in list(words.items())[1:]:
        each = [overlaps[at, *pair] for at, pair in enumerate(zip(words["the object’s name"], dependents, strict=True))]
        values = [mean_score(list(column), clusters=clusters) for column in zip(*each, strict=True)]
        pairs.append([f"the object and {name}", *map(spanned, values)])
    return markdown_table(head, rows), markdown_table(["head and dependent", "mIoU, %", "mIoD, %", "mIoH, %"], pairs)


def heads(model: tp.Model) -> str:
    """The best head's silhouette of groups of one colour, and of one thing, by keys and values, against chance."""
    groups = {
        "by colour": {tint: [f"{tint} {thing}" for thing in THINGS] for tint in TINTS},
        "by thing": {thing: [f"{tint} {thing}" for tint in TINTS] for thing in THINGS},
    }
    rows = []
    for name, each in groups.items():
        finding = Heads()(model, each)
        for part in ("key", "value"):
            own = finding.table.filter(pl.col("part") == part).sort("score", descending=True)
            best = own.row(0, named=True)
            score = spanned(Estimate(best["score"], best["low"], best["high"]), 1, 2)
            above = f"{int((own['score'] > finding.chance).sum())} of {len(own)}"
            means = [f"{own.filter(pl.col('label') == label)['score'].mean():.2f}" for label in SHOWN]
            most = f"{best['label']}, head {best['head']}: {score}"
            rows.append([name, f"{part}s", most, f"{finding.chance:.2f}", above, *means])
    head = ["groups", "", "best", "best by chance", "above that", *(f"mean of {label}" for label in SHOWN)]
    return markdown_table(head, rows)


def main() -> None:
    parser = page_parser(__doc__, keep="tints")
    parser.add_argument("--captions", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=1, help="pictures of each caption")
    parser.add_argument(
        "--letters", nargs="+", default=list(LETTERS), help="interventions, as `explain windows` has them"
    )
    args = parsed(parser)
    model, sight = tp.load("emoji-64", dtype=torch.float32), Sight()
    fill(args.docs / "heads.md", {"tinted-heads": heads(model)})
    words, pairs = maps(model, args.captions)
    fill(args.docs / "words.md", {"tinted-words": words, "tinted-pairs": pairs})
    branches = severed(model, args.captions, args.seeds, args.letters, args.keep)
    note = sight.on_renders()
    fill(args.docs / "time.md", {"tinted": f"{table(branches, sight, args.captions, args.seeds)}\n\n{note}"})


if __name__ == "__main__":
    main()
