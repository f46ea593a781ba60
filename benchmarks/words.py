"""What words do to the pictures of the embedded model, and COAR beside CAD: the tables and figures of docs/words.md.

    python benchmarks/words.py                        # all
    python benchmarks/words.py maps company --seeds 1 --docs /tmp/pages

Maps are of the twenty prompts of benchmarks/thesis.py. What is written around the tables stays.
"""

from __future__ import annotations

from itertools import count, repeat
from pathlib import Path

import numpy as np
import polars as pl
from pages import table
from PIL import Image
from thesis import LAYERS, PROMPTS, Pictures, Sections, main, save, spanned, told

import turpentine as tp
from turpentine.concepts import with_article
from turpentine.core.formatting import points_with_span
from turpentine.emoji.world import NEIGHBOURS, OBJECTS, SCENES, TEN, Picture, Placed, render, styles_of, visible_on
from turpentine.explain._codes import group
from turpentine.explain._image_stats import foreground, overlap
from turpentine.explain.coar import COAR
from turpentine.explain.contributions import KINDS, Contributions
from turpentine.explain.entangle import Entangle
from turpentine.explain.maps import Maps, MapsFinding
from turpentine.explain.segment import Mask, Segment, SegmentFinding
from turpentine.models import Sites
from turpentine.stats.intervals import Estimate, mean_score

WORDS = ("object", "style", "colour")
SHARPEST = "HIGHRES"
"""The layers whose maps are not a few pixels wide."""


def maps(pictures: Pictures, seeds: int, docs: Path) -> dict[str, str]:
    """Where words are looked at, by layers; and how the maps of two words lie to one another."""
    rows, found, words = [], {}, words_of(pictures)
    for layers in ("ALL", *LAYERS):
        asked = Maps(sites=sites_of(pictures.model, layers))
        found[layers] = asked(pictures.model, pictures.prompts, pictures.seeds, progress=told(f"maps {layers}"))
        lines = found[layers].table.select("prompt", "seed", "word", "iou").iter_rows()
        by_word = {(prompt, seed, word): iou for prompt, seed, word, iou in lines}
        keys = (zip(pictures.prompts, pictures.seeds, each, strict=True) for each in words.values())
        rows.append([layers, *(spanned(*over_prompts([by_word[key] for key in each], pictures)) for each in keys)])
    shown = Maps(sites=sites_of(pictures.model, SHARPEST))(
        pictures.model, [PROMPTS[at].prompt for at in (0, 5, 10)], [0, 0, 0]
    )
    save(shown.plot(), docs / "words-maps.png")
    return {
        "maps": table(["layers", *(f"{column} word, %" for column in WORDS)], rows),
        "words": every_word(pictures, found[SHARPEST]),
        "pairs": pairs(pictures, found[SHARPEST], seeds),
    }


def words_of(pictures: Pictures) -> dict[str, list[str]]:
    """By column the word of each prompt that its map is of."""
    return {column: [last(getattr(one, column)) for one in pictures.of] for column in WORDS}


def every_word(pictures: Pictures, found: MapsFinding) -> str:
    """The masks of all words of the caption: what they share with the object, and how much of the picture they are."""
    words = {f"the {column}’s name": each for column, each in words_of(pictures).items()}
    words |= {f"“{word}”": [word] * len(pictures.of) for word in ("a", "in", "style", "on", "background")}
    rows, objects = [], [foreground(image) for image in found.images]
    for called, each in words.items():
        masks = [found.mask(picture, word) for picture, word in enumerate(each)]
        ious = [overlap(mask, thing) for mask, thing in zip(masks, objects, strict=True)]
        shares = [float(mask.mean()) for mask in masks]
        rows.append([called, *(spanned(*over_prompts(each, pictures)) for each in (ious, shares))])
    whole = over_prompts([float(thing.mean()) for thing in objects], pictures)
    rows.append(["the whole picture", spanned(*whole), "100"])
    return table(["mask of", "overlap with the object, %", "of the picture, %"], rows)


def pairs(pictures: Pictures, found: MapsFinding, seeds: int) -> str:
    """Overlaps of the maps of words that belong together; and of two objects with "and"."""
    overlaps = {(p, h, d): rest for p, h, d, *rest in found.overlaps().iter_rows()}
    rows, words = [], words_of(pictures)
    relations = {
        "object and its style": (words["object"], words["style"]),
        "“style” and its name": (repeat("style"), words["style"]),
        "“background” and its colour": (repeat("background"), words["colour"]),
        "object and the background’s colour": (words["object"], words["colour"]),
    }
    for name, (heads, dependents) in relations.items():
        values = [overlaps[key] for key in zip(count(), heads, dependents, strict=False)]
        rows.append([name, *three(values, pictures.prompts)])
    both = [(obj, neighbour) for obj, (neighbour, _) in NEIGHBOURS.items() for _ in range(seeds)]
    texts = [f"{with_article(one)} and {with_article(other)}" for one, other in both]
    two = Maps(sites=sites_of(pictures.model, SHARPEST))(
        pictures.model, texts, list(range(seeds)) * len(NEIGHBOURS), progress=told("maps of two")
    )
    overlaps = {(p, h, d): rest for p, h, d, *rest in two.overlaps().iter_rows()}
    values = [overlaps[at, last(one), last(other)] for at, (one, other) in enumerate(both)]
    rows.append(["two objects with “and” (the last words of their names)", *three(values, texts)])
    return table(["head and dependent", "mIoU, %", "mIoD, %", "mIoH, %"], rows)


def last(name: str) -> str:
    return name.split()[-1]


def three(values: list[list[float]], prompts: list[str]) -> list[str]:
    clusters = [(prompt,) for prompt in prompts]
    return [spanned(*mean_score(list(column), clusters=clusters)) for column in zip(*values, strict=True)]


def over_prompts(values: list[float], pictures: Pictures) -> Estimate:
    """The mean of a number for each picture, and its interval."""
    return mean_score(values, clusters=[(prompt,) for prompt in pictures.prompts])


def sites_of(model: tp.Model, layers: str) -> Sites:
    return group(model.sites.only(kind="cross-attention", level="module"), layers)


def company(pictures: Pictures, seeds: int, docs: Path) -> dict[str, str]:
    """Does a neighbour in the prompt hurt?"""
    near = {obj: neighbours[0] for obj, neighbours in NEIGHBOURS.items()}
    far = dict(zip(near, [*list(near.values())[5:], *list(near.values())[:5]], strict=True))
    objects = {obj: (near[obj], far[obj]) for obj in near}
    found = Entangle()(pictures.model, objects, range(2 * seeds), judge=pictures.judge, progress=told("company"))
    save(found.plot(), docs / "words-company.png")
    rows = [[row[0], spanned(*row[1:4]), str(row[4])] for row in found.table.iter_rows()]
    harm = points_with_span(found.harm)
    said = f"Beside a neighbour less beside another: {harm} points, over the same objects and seeds."
    return {"company": f"{table(['company', 'object drawn, %', 'pictures'], rows)}\n\n{said}"}


def named(pictures: Pictures, seeds: int, docs: Path) -> dict[str, str]:
    """What self- and cross-attention add where the object is, with its name in the prompt and without it."""
    scenes = {obj: scene for scene, obj in SCENES.items() if obj in TEN}
    model, rows = pictures.model, []
    sites = model.sites.only(kind=KINDS, level="module", label=["UP4", "UP7"])
    prompts = {"named": [with_article(obj) for obj in scenes], "implied": list(scenes.values())}
    for how, texts in prompts.items():
        asked = [text for text in texts for _ in range(seeds)]
        found = Contributions(sites)(model, asked, list(range(seeds)) * len(texts), progress=told(how))
        for site in sites:
            both = found.rows.filter(pl.col("site") == site.name).drop_nulls()
            ratio = mean_score((both["inside"] / both["outside"]).to_list(), clusters=both.select("prompt").rows())
            rows.append([site.label, site.kind, how, spanned(*ratio, 1, 2), str(len(both))])
    shown = Contributions(sites)(model, ["a church", scenes["church"], "a dog", scenes["dog"]], [1, 1, 1, 1])
    save(shown.plot(), docs / "words-contributions.png")
    return {"contributions": table(["module", "of", "object is", "inside : outside", "pictures"], rows)}


def segments(pictures: Pictures, seeds: int, docs: Path) -> dict[str, str]:
    """Masks of words by score distillation, against where the object was put.

    Of an object alone, as large as the model draws it; told another object's name; and beside that object.
    """
    alone, beside, words, others = [], [], [], []
    rng = np.random.default_rng(0)
    for obj in TEN:
        style = styles_of(obj)[0]
        other = str(next(o for o in rng.permutation(OBJECTS) if o != obj and style in styles_of(o)))
        (colour, *_) = [c for c in visible_on(obj, style) if c in visible_on(other, style)]
        alone.append(placed(colour, Placed(obj, style, 2, 2, 28)))
        beside.append(placed(colour, Placed(obj, style, 1, 8, 15), Placed(other, style, 17, 8, 15)))
        words.append(with_article(obj))
        others.append(with_article(other))
    rows = []

    def learn(what: str, of: list[tuple[Image.Image, Mask]], names: list[str]) -> SegmentFinding:
        images, truths = (list(each) for each in zip(*of, strict=True))
        found = Segment()(pictures.model, images, concept=names, truths=truths, progress=told(f"segment {what}"))
        covered, iou = (mean_score(found.table[column].to_list()) for column in ("covered", "iou"))
        whole = 100 * np.mean([truth.mean() for truth in truths])
        rows.append([what, spanned(*iou), f"{whole:.0f}", spanned(*covered)])
        return found

    save(learn("alone", alone, words).plot(), docs / "words-segments.png")
    learn("alone, told another’s name", alone, others)
    save(learn("beside another", beside, words).plot(), docs / "words-segments-beside.png")
    head = ["the object is", "IoU with the truth, %", "IoU of the whole picture, %", "of the picture, %"]
    return {"segments": table(head, rows)}


def placed(colour: str, first: Placed, *others: Placed) -> tuple[Image.Image, Mask]:
    """A picture, and where its first sprite is."""
    picture, alone, empty = (render(Picture(colour, some)) for some in ((first, *others), (first,), ()))
    return Image.fromarray(picture), np.abs(alone.astype(int) - empty).max(-1) > 30


def coar(pictures: Pictures, seeds: int, docs: Path) -> dict[str, str]:
    """Modules by regression over ablations, and by CAD's first order, against ablating each alone."""
    rows = []
    for obj in ("church", "dog"):
        found = COAR(steps=10)(
            pictures.model, [with_article(obj)] * 4, range(4), cache=pictures.keep, progress=told(f"coar {obj}")
        )
        for column, name in (("score", "regression"), ("cad", "first order")):
            rows.append([obj, name, spanned(*found.agreement(column), 1, 2)])
        rows.append([obj, "regression and first order", spanned(*found.agreement("score", "cad"), 1, 2)])
        if obj == "church":
            save(found.plot(), docs / "words-coar-church.png")
    return {"coar": table(["object", "of what", "Pearson's r"], rows)}


SECTIONS: Sections = {
    "maps": maps,
    "company": company,
    "named": named,
    "segments": segments,
    "coar": coar,
}


if __name__ == "__main__":
    main(__doc__, SECTIONS, "words.md")
