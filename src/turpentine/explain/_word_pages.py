"""What words are seen to do, as a page of the documents shows it: tables in Markdown, and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import polars as pl

from turpentine.core.errors import EmptySelection
from turpentine.core.formatting import points_with_span, with_span
from turpentine.core.markdown import markdown_table
from turpentine.explain._codes import modules_called
from turpentine.explain._image_stats import foreground
from turpentine.explain._masks import Mask
from turpentine.explain._pages import Pictures, spanned
from turpentine.explain._series import Series
from turpentine.explain._subjects import OBJECT
from turpentine.explain.contributions import ContributionsFinding
from turpentine.explain.entangle import EntangleFinding
from turpentine.explain.maps_finding import MapsFinding
from turpentine.explain.stops import Page
from turpentine.models.model import Model
from turpentine.models.text import bare, words_of
from turpentine.stats.intervals import Estimate, Rate, mean_score

SHARPEST = "HIGHRES"
"""The layers whose maps are not a few pixels wide."""

LAYERS = ("ALL", "MID", "UP9", "DOWN5", "HIGHRES", "LOWRES")
PLACED_LAYERS = ("ALL", "HIGHRES", "LOWRES", "UP6", "UP7")
"""Of maps that are held against where something is."""

CONTROL = "on"
"""A word without a thing."""

EXAMPLES, EXAMPLE_PAIRS = (0, 5, 10), (0, 3, 7)
"""Prompts whose first picture is in a figure."""


def maps(finding: MapsFinding, pictures: Pictures, mark: str, figure: str) -> Page:
    """Return where words are looked at, by layers, and by words in the layers of the highest resolution."""
    objects = [foreground(image) for image in finding.images]
    columns = [column for column in (OBJECT, "style", "colour") if all(each.word(column) for each in pictures.of)]
    rows = []
    for name, layers in _by_layers(finding, pictures.model, LAYERS):
        against = layers.against(objects)
        each = [_of_words(against, _last_words(pictures, column)) for column in columns]
        rows.append(
            [name, *(spanned(_mean(part["auc"], pictures), 1, 2) for part in each), _pointing(each[0], pictures)]
        )
    head = ["layers", *(f"{column} word, AUC" for column in columns), "object word points at the object, %"]
    sharpest = _sharpest(finding, pictures.model)
    shown_maps = sharpest.of_pictures(pictures.examples(EXAMPLES))
    tables = {mark: markdown_table(head, rows), "words": _every_word(sharpest, objects, pictures, columns)}
    return Page(tables, {figure: shown_maps.plot()})


def _by_layers(finding: MapsFinding, model: Model, names: Sequence[str]) -> Iterator[tuple[str, MapsFinding]]:
    """Yield the maps of some layers together, of those that the model has."""
    for name in names:
        with suppress(EmptySelection):
            yield name, _of_layers(finding, model, name)


def _of_layers(finding: MapsFinding, model: Model, name: str) -> MapsFinding:
    """Return the sum of some layers' maps, of maps that are taken apart by module."""
    whole = finding.of("all")
    modules = model.sites.only(kind="cross-attention", level="module")
    parts = [finding.of(site.label).heats for site in modules_called(modules, name)]
    if name == "ALL":
        return whole
    heats = [{word: sum(heat[word] for heat in each) for word in each[0]} for each in zip(*parts, strict=True)]
    return replace(whole, heats=heats)


def _sharpest(finding: MapsFinding, model: Model) -> MapsFinding:
    return next(layers for _, layers in _by_layers(finding, model, (SHARPEST, "ALL")))


def _last_words(pictures: Pictures, column: str) -> list[str]:
    """Return the last of the words that are of a column, for each picture."""
    return [str(subject.word(column)).split()[-1] for subject in pictures.of]


def _of_words(against: pl.DataFrame, words: Sequence[str]) -> pl.DataFrame:
    """Return the rows of one word for each picture."""
    chosen = pl.DataFrame({"picture": range(len(words)), "word": list(words)})
    return chosen.join(against, on=["picture", "word"], how="left", maintain_order="left")


def _mean(values: pl.Series, pictures: Pictures) -> Estimate:
    """Return the mean over pictures, without those that have no value, and its interval over prompts."""
    given = [(value, cluster) for value, cluster in zip(values, pictures.clusters, strict=True) if value is not None]
    if not given:
        return Estimate(float("nan"), float("nan"), float("nan"))
    return mean_score([float(value) for value, _ in given], clusters=[cluster for _, cluster in given])


def _pointing(part: pl.DataFrame, pictures: Pictures) -> str:
    """Return how often a map is largest inside of the thing."""
    given = [(hit, cluster) for hit, cluster in zip(part["hit"], pictures.clusters, strict=True) if hit is not None]
    rate = Rate.of([hit for hit, _ in given], [cluster for _, cluster in given])
    return with_span(rate) if rate else "–"


def _every_word(finding: MapsFinding, objects: list[Mask], pictures: Pictures, columns: Sequence[str]) -> str:
    """Return what words have to do with what stands out: rank, pointing, and their masks."""
    words = {f"the {column}’s name": _last_words(pictures, column) for column in columns}
    words |= {f"“{word}”": [word] * len(pictures.of) for word in _in_all(pictures)}
    against, rows = finding.against(objects), []
    for name, each in words.items():
        part = _of_words(against, each)
        shares = pl.Series([float(finding.mask(picture, word).mean()) for picture, word in enumerate(each)])
        overlaps = [spanned(_mean(values, pictures)) for values in (part["iou"], shares)]
        rows.append([name, spanned(_mean(part["auc"], pictures), 1, 2), _pointing(part, pictures), *overlaps])
    whole = _mean(pl.Series([float(thing.mean()) for thing in objects]), pictures)
    rows.append(["the whole picture", "0.50", f"{100 * whole.value:.0f}", spanned(whole), "100"])
    head = ["map of", "AUC of the object", "points at it, %", "overlap of its mask, %", "mask of the picture, %"]
    return markdown_table(head, rows)


def _in_all(pictures: Pictures) -> list[str]:
    """Return the words that all prompts have, in the first one's order."""
    each = [[bare(word) for word in words_of(subject.prompt)] for subject in pictures.of]
    return [word for word in dict.fromkeys(each[0]) if all(word in words for words in each)]


def small(finding: MapsFinding, pictures: Pictures, mark: str, figure: str) -> Page:
    """Return rank, pointing and overlap of the object's word, against its own picture and another's."""
    names, objects = _last_words(pictures, OBJECT), [foreground(image) for image in finding.images]
    moved = pictures.seeds + 1
    others = objects[moved:] + objects[:moved]
    rows = []
    for name, layers in _by_layers(finding, pictures.model, PLACED_LAYERS):
        own, other, control = (
            _of_words(layers.against(masks), words)
            for masks, words in ((objects, names), (others, names), (objects, [CONTROL] * len(names)))
        )
        ranks = [spanned(_mean(part["auc"], pictures), 1, 2) for part in (own, other, control)]
        rows.append([name, *ranks, _pointing(own, pictures), spanned(_mean(own["iou"], pictures))])
    covered = _mean(pl.Series([float(thing.mean()) for thing in objects]), pictures)
    head = ["layers", "AUC of the object", "of another picture's", f"AUC for “{CONTROL}”", "points at the object, %"]
    note = f"The object is {spanned(covered)} % of the picture."
    return Page({mark: f"{markdown_table([*head, 'overlap of the mask, %'], rows)}\n\n{note}"}, {})


def pairs(finding: MapsFinding, pictures: Pictures, mark: str, figure: str) -> Page:
    """Return whether each of two objects' maps lies in its own half, and how the masks of two words overlap."""
    sharpest = _sharpest(finding, pictures.model)
    plot = sharpest.of_pictures(pictures.examples(EXAMPLE_PAIRS)).plot()
    return Page({"halves": _halves(finding, pictures), mark: _overlaps(sharpest, pictures)}, {figure: plot})


def _halves(finding: MapsFinding, pictures: Pictures) -> str:
    firsts, seconds = _last_words(pictures, OBJECT), _last_words(pictures, "second")
    rows = []
    for name, layers in _by_layers(finding, pictures.model, PLACED_LAYERS):
        lies, larger = list[bool](), []
        for heats, first_word, second_word in zip(layers.heats, firsts, seconds, strict=True):
            first, second = (heats[word] / heats[word].sum() for word in (first_word, second_word))
            middle = first.shape[1] // 2
            lies += [bool(first[:, :middle].sum() > 0.5), bool(second[:, middle:].sum() > 0.5)]
            is_first = first > second
            larger.append(float(np.concatenate([is_first[:, :middle], ~is_first[:, middle:]], axis=1).mean()))
        own = Rate.of(lies, [cluster for cluster in pictures.clusters for _ in range(2)])
        assert own is not None  # there is a picture at least
        rows.append([name, with_span(own), spanned(_mean(pl.Series(larger), pictures))])
    head = ["layers", "maps that lie in their object's half, %", "of the pixels the own map is larger, %"]
    return markdown_table(head, rows)


def _overlaps(finding: MapsFinding, pictures: Pictures) -> str:
    """Return how the masks of two words overlap, by how they belong together, all in the same pictures."""
    overlaps = {(picture, head, word): rest for picture, head, word, *rest in finding.overlaps().iter_rows()}
    names = {column: _last_words(pictures, column) for column in (OBJECT, "second", "style", "colour")}
    first, second, style, colour = (names[column] for column in (OBJECT, "second", "style", "colour"))
    words = {word: [word] * len(pictures.of) for word in ("style", "background")}
    relations = {
        "two objects with “and”": (first, second),
        "second object and the style’s name": (second, style),
        "“style” and its name": (words["style"], style),
        "“background” and its colour": (words["background"], colour),
        "first object and the background’s colour": (first, colour),
        "first object and “background”": (first, words["background"]),
    }
    rows = []
    for name, (heads, dependents) in relations.items():
        each = [overlaps[at, *pair] for at, pair in enumerate(zip(heads, dependents, strict=True))]
        rows.append([name, *_three(each, pictures)])
    nouns = list(zip(first, second, words["style"], style, words["background"], colour, strict=True))
    every = [
        np.mean([overlaps[at, *pair] for pair in permutations(six, 2)], axis=0).tolist() for at, six in enumerate(nouns)
    ]
    rows.append(["all pairs of these words", *_three(every, pictures)])
    return markdown_table(["head and dependent", "mIoU, %", "mIoD, %", "mIoH, %"], rows)


def _three(values: list[list[float]], pictures: Pictures) -> list[str]:
    return [spanned(_mean(pl.Series(list(column)), pictures)) for column in zip(*values, strict=True)]


def company(finding: EntangleFinding, pictures: Pictures, mark: str, figure: str) -> Page:
    """Return how often objects are drawn in each company, and how much a neighbour hurts."""
    rows = [[row[0], spanned(Estimate(*row[1:4])), str(row[4])] for row in finding.table.iter_rows()]
    harm = points_with_span(finding.harm)
    note = f"Beside a neighbour less beside another: {harm} points, over the same objects and seeds."
    table = markdown_table(["company", "object drawn, %", "pictures"], rows)
    return Page({mark: f"{table}\n\n{note}"}, {figure: finding.plot()})


def named(finding: ContributionsFinding, pictures: Pictures, mark: str, figure: str) -> Page:
    """Return what attention adds where the object is, with its name in the prompt and without it."""
    is_named = {subject.prompt: not subject.label for subject in pictures.of}
    rows = []
    for how, flag in (("named", True), ("implied", False)):
        prompts = [prompt for prompt, own in is_named.items() if own == flag]
        for site in finding.everything.named(list(finding.heats)):
            part = finding.rows.filter((pl.col("site") == site.name) & pl.col("prompt").is_in(prompts)).drop_nulls()
            if not len(part):
                continue
            ratio = mean_score((part["inside"] / part["outside"]).to_list(), clusters=part.select("prompt").rows())
            rows.append([site.label, site.kind, how, spanned(ratio, 1, 2), str(len(part))])
    table = markdown_table(["module", "of", "object is", "inside : outside", "pictures"], rows)
    return Page({mark: table}, {figure: finding.of_pictures(_both_ways(pictures, is_named)).plot()})


def _both_ways(pictures: Pictures, is_named: Mapping[str, bool]) -> list[int]:
    """Return the first pictures of two prompts that name their objects, each followed by one that implies it."""
    firsts = {pictures.of[at].prompt: at for at in range(0, len(pictures.of), pictures.seeds)}
    ways = [[at for prompt, at in firsts.items() if is_named[prompt] == flag] for flag in (True, False)]
    return [at for pair in list(zip(*ways, strict=False))[2:4] or zip(*ways, strict=False) for at in pair]


def segments(finding: Series, pictures: Pictures, mark: str, figure: str) -> Page:
    """Return how masks by score distillation overlap the truth, and two plots."""
    rows = []
    for name, each in finding.findings.items():
        covered, iou = (mean_score(each.table[column].to_list()) for column in ("covered", "iou"))
        rows.append([name, spanned(iou), f"{100 * each.table['whole'].mean():.0f}", spanned(covered)])
    head = ["the object is", "IoU with the truth, %", "IoU of the whole picture, %", "of the picture, %"]
    plots: dict[str, Any] = {figure: finding.findings["alone"].plot()}
    plots[f"{figure}-beside"] = finding.findings["beside another"].plot()
    return Page({mark: markdown_table(head, rows)}, plots)
