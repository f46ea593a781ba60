"""What words do to the pictures of the embedded model, and COAR beside CAD: the tables and figures of docs/words.md.

    python benchmarks/words.py                        # all
    python benchmarks/words.py maps company --seeds 1 --docs /tmp/pages

Maps are of the twenty prompts of benchmarks/thesis.py. What is written around the tables stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

import numpy as np
import polars as pl
from pages import percent, table
from PIL import Image
from thesis import LAYERS, Pictures, Sections, main, save, spanned, told

import turpentine as tp
from turpentine.concepts import with_article
from turpentine.core.formatting import points_with_span
from turpentine.emoji.captions import object_caption
from turpentine.emoji.world import (
    COLOURS,
    NEIGHBOURS,
    OBJECTS,
    SCENES,
    TEN,
    Picture,
    Placed,
    render,
    styles_of,
    visible_on,
)
from turpentine.explain._codes import group
from turpentine.explain._image_stats import foreground
from turpentine.explain.coar import COAR
from turpentine.explain.contributions import KINDS, Contributions
from turpentine.explain.entangle import Entangle
from turpentine.explain.maps import Maps, MapsFinding
from turpentine.explain.segment import Mask, Segment, SegmentFinding
from turpentine.stats.intervals import Estimate, Rate, mean_score

WORDS = ("object", "style", "colour")
SHARPEST = "HIGHRES"
"""The layers whose maps are not a few pixels wide."""


def maps(pictures: Pictures, seeds: int, docs: Path) -> dict[str, str]:
    """Where words are looked at, by layers and by words, and how the maps of two words lie to one another."""
    whole = mapped(pictures.model, pictures.prompts, pictures.seeds, "maps")
    words, rows = words_of(pictures), []
    for layers in ("ALL", *LAYERS):
        found = of_layers(whole, pictures.model, layers)
        against = found.against([foreground(image) for image in found.images])
        each = [of_words(against, words[column]) for column in WORDS]
        clusters = [(prompt,) for prompt in pictures.prompts]
        rows.append(
            [layers, *(spanned(*over(part["auc"], clusters), 1, 2) for part in each), pointing(each[0], clusters)]
        )
    sharpest = of_layers(whole, pictures.model, SHARPEST)
    shown = [at * seeds for at in (0, 5, 10)]
    heats, images = ([each[at] for at in shown] for each in (sharpest.heats, sharpest.images))
    save(replace(sharpest, heats=heats, images=images).plot(), docs / "words-maps.png")
    head = ["layers", *(f"{column} word, AUC" for column in WORDS), "object word points at the object, %"]
    return {"maps": table(head, rows), "words": every_word(pictures, sharpest)}


def mapped(model: tp.Model, prompts: Sequence[str], seeds: Sequence[int], called: str) -> MapsFinding:
    """Maps of every word, by module as well."""
    return Maps(per="module")(model, prompts, seeds, progress=told(called))


def of_layers(found: MapsFinding, model: tp.Model, layers: str) -> MapsFinding:
    """The maps of some layers together, of maps that are taken apart by module."""
    whole = found.of("all")
    if layers == "ALL":
        return whole
    parts = [
        found.of(site.label).heats for site in group(model.sites.only(kind="cross-attention", level="module"), layers)
    ]
    heats = [{word: sum(heat[word] for heat in each) for word in each[0]} for each in zip(*parts, strict=True)]
    return replace(whole, heats=heats)


def of_words(against: pl.DataFrame, words: Sequence[str]) -> pl.DataFrame:
    """The rows of one word for each picture."""
    wanted = pl.DataFrame({"picture": range(len(words)), "word": list(words)})
    return wanted.join(against, on=["picture", "word"], maintain_order="left")


def over(values: pl.Series, clusters: Sequence[tuple[str, ...]]) -> Estimate:
    """The mean over pictures, without those that have none, and its interval over prompts."""
    given = [(value, cluster) for value, cluster in zip(values, clusters, strict=True) if value is not None]
    return mean_score([float(value) for value, _ in given], clusters=[cluster for _, cluster in given])


def pointing(part: pl.DataFrame, clusters: Sequence[tuple[str, ...]]) -> str:
    """How often a map is largest inside of the thing."""
    given = [(hit, cluster) for hit, cluster in zip(part["hit"], clusters, strict=True) if hit is not None]
    rate = Rate.of([hit for hit, _ in given], [cluster for _, cluster in given])
    assert rate is not None  # there is a picture at least
    return percent(rate)


def words_of(pictures: Pictures) -> dict[str, list[str]]:
    """By column the word of each prompt that its map is of."""
    return {column: [last(getattr(one, column)) for one in pictures.of] for column in WORDS}


def every_word(pictures: Pictures, found: MapsFinding) -> str:
    """What all words of the caption have to do with the object: rank, pointing, and their masks."""
    words = {f"the {column}’s name": each for column, each in words_of(pictures).items()}
    words |= {f"“{word}”": [word] * len(pictures.of) for word in ("a", "in", "style", "on", "background")}
    clusters = [(prompt,) for prompt in pictures.prompts]
    objects = [foreground(image) for image in found.images]
    against, rows = found.against(objects), []
    for called, each in words.items():
        part = of_words(against, each)
        shares = pl.Series([float(found.mask(picture, word).mean()) for picture, word in enumerate(each)])
        cells = [spanned(*over(values, clusters)) for values in (part["iou"], shares)]
        rows.append([called, spanned(*over(part["auc"], clusters), 1, 2), pointing(part, clusters), *cells])
    whole = over(pl.Series([float(thing.mean()) for thing in objects]), clusters)
    rows.append(["the whole picture", "0.50", f"{100 * whole.value:.0f}", spanned(*whole), "100"])
    head = ["map of", "AUC of the object", "points at it, %", "overlap of its mask, %", "mask of the picture, %"]
    return table(head, rows)


def places(pictures: Pictures, seeds: int, docs: Path) -> dict[str, str]:
    """Small objects at a place that no word names, two objects side by side, and how the maps of two words overlap."""
    model = pictures.model
    parts = {"small": small_objects(model, seeds)}
    captions = two_captions()
    texts = [caption.prompt for caption in captions for _ in range(seeds)]
    two = mapped(model, texts, list(range(seeds)) * len(captions), "two objects")
    of = [caption for caption in captions for _ in range(seeds)]
    parts["halves"] = halves(model, two, of)
    parts["pairs"] = pairs(of_layers(two, model, SHARPEST), of)
    shown = of_layers(two, model, SHARPEST)
    some = [at * seeds for at in (0, 3, 7)]
    heats, images = [shown.heats[at] for at in some], [shown.images[at] for at in some]
    save(replace(shown, heats=heats, images=images).plot(), docs / "words-two.png")
    return parts


def small_objects(model: tp.Model, seeds: int) -> str:
    """Rank, pointing and overlap of the object's word, against its own picture and another's."""
    prompts = [object_caption(obj, colour=showing(obj), small=True) for obj in TEN for _ in range(seeds)]
    names = [last(obj) for obj in TEN for _ in range(seeds)]
    whole = mapped(model, prompts, list(range(seeds)) * len(TEN), "small objects")
    clusters, objects = [(prompt,) for prompt in prompts], [foreground(image) for image in whole.images]
    others = objects[seeds + 1 :] + objects[: seeds + 1]
    rows = []
    for layers in ("ALL", SHARPEST, "LOWRES", "UP6", "UP7"):
        found = of_layers(whole, model, layers)
        own, other, control = (
            of_words(found.against(masks), words)
            for masks, words in ((objects, names), (others, names), (objects, ["on"] * len(names)))
        )
        ranks = [spanned(*over(part["auc"], clusters), 1, 2) for part in (own, other, control)]
        rows.append([layers, *ranks, pointing(own, clusters), spanned(*over(own["iou"], clusters))])
    covered = over(pl.Series([float(thing.mean()) for thing in objects]), clusters)
    head = ["layers", "AUC of the object", "of another picture's", "AUC for “on”", "points at the object, %"]
    return f"{table([*head, 'overlap of the mask, %'], rows)}\n\nThe object is {spanned(*covered)} % of the picture."


def showing(obj: str) -> str:
    """The background on which an object stands out in most of its styles."""
    return max(COLOURS, key=lambda colour: sum(colour in visible_on(obj, style) for style in styles_of(obj)))


@dataclass(frozen=True)
class Two:
    """A caption of two objects side by side, and its words."""

    prompt: str
    first: str
    second: str
    style: str
    colour: str


def two_captions() -> list[Two]:
    """Each of the ten with its first neighbour, in a style that both have, on a background that shows both."""
    captions = []
    for index, (obj, (neighbour, _)) in enumerate(NEIGHBOURS.items()):
        styles = [style for style in styles_of(obj) if style in styles_of(neighbour)]
        style = styles[index % len(styles)]
        colours = [colour for colour in visible_on(obj, style) if colour in visible_on(neighbour, style)]
        colour = colours[index % len(colours)]
        both = f"{with_article(obj)} and {with_article(neighbour)}"
        prompt = f"{both} in {style} style on {with_article(colour)} background"
        captions.append(Two(prompt, last(obj), last(neighbour), style, colour))
    return captions


def halves(model: tp.Model, whole: MapsFinding, of: Sequence[Two]) -> str:
    """Whether each object's map lies in its own half, and which of the two maps is larger there."""
    clusters, rows = [(two.prompt,) for two in of], []
    for layers in ("ALL", SHARPEST, "LOWRES", "UP6", "UP7"):
        found, lies, larger = of_layers(whole, model, layers), [], []
        for heats, two in zip(found.heats, of, strict=True):
            first, second = (heats[word] / heats[word].sum() for word in (two.first, two.second))
            middle = first.shape[1] // 2
            lies += [first[:, :middle].sum() > 0.5, second[:, middle:].sum() > 0.5]
            is_first = first > second
            larger.append(float(np.concatenate([is_first[:, :middle], ~is_first[:, middle:]], axis=1).mean()))
        own = Rate.of(lies, [cluster for cluster in clusters for _ in range(2)])
        assert own is not None  # there is a picture at least
        rows.append([layers, percent(own), spanned(*over(pl.Series(larger), clusters))])
    return table(["layers", "maps that lie in their object's half, %", "of the pixels the own map is larger, %"], rows)


def pairs(found: MapsFinding, of: Sequence[Two]) -> str:
    """Overlaps of the masks of two words, by how they belong together, all in the same pictures."""
    overlaps = {(p, h, d): rest for p, h, d, *rest in found.overlaps().iter_rows()}
    relations = {
        "two objects with “and”": [(two.first, two.second) for two in of],
        "second object and the style’s name": [(two.second, two.style) for two in of],
        "“style” and its name": [("style", two.style) for two in of],
        "“background” and its colour": [("background", two.colour) for two in of],
        "first object and the background’s colour": [(two.first, two.colour) for two in of],
        "first object and “background”": [(two.first, "background") for two in of],
    }
    prompts = [two.prompt for two in of]
    rows = [
        [name, *three([overlaps[at, *pair] for at, pair in enumerate(each)], prompts)]
        for name, each in relations.items()
    ]
    every = []
    for at, two in enumerate(of):
        nouns = (two.first, two.second, "style", two.style, "background", two.colour)
        every.append(np.mean([overlaps[at, *pair] for pair in permutations(nouns, 2)], axis=0).tolist())
    rows.append(["all pairs of these words", *three(every, prompts)])
    return table(["head and dependent", "mIoU, %", "mIoD, %", "mIoH, %"], rows)


def last(name: str) -> str:
    return name.split()[-1]


def three(values: list[list[float]], prompts: list[str]) -> list[str]:
    clusters = [(prompt,) for prompt in prompts]
    return [spanned(*mean_score(list(column), clusters=clusters)) for column in zip(*values, strict=True)]


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
    "places": places,
    "company": company,
    "named": named,
    "segments": segments,
    "coar": coar,
}


if __name__ == "__main__":
    main(__doc__, SECTIONS, "words.md")
