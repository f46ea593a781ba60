"""What else an edit broke: other things, two objects and their places, quality, collapse, seeds, speed and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from turpentine.attack.budget import Budget, Meter
from turpentine.attack.trial import Trial
from turpentine.attack.victim import Victim
from turpentine.audit.arms import pictures_table
from turpentine.audit.probes import OPEN, PAIRS, Probe
from turpentine.core.parts import RECORDS, Parts
from turpentine.emoji.captions import stream
from turpentine.emoji.world import render
from turpentine.judges.base import Judge, hits, shows_both
from turpentine.judges.collapse import collapse
from turpentine.judges.statistics import PictureStatistics
from turpentine.judges.towers import CLIP, ClipTowers, EmojiTowers, Towers
from turpentine.judges.worlds import world_of_model
from turpentine.stats.equivalence import Outcomes, is_non_inferior, paired_difference
from turpentine.stats.intervals import Estimate, Rate, mean_score, set_distance
from turpentine.stats.power import pictures_for_non_inferiority
from turpentine.stats.set_distances import fid

MARGIN = 0.03
"""By how much a rate of other things may fall and count as whole."""
PLACES = "two objects in their places"
OTHERS = "all other things"
CENTRES = 0.025
"""Of each end of a 95 % interval."""
ROUNDS = 200
LEAST_FEATURES = 8
"""Pictures of each set for a distance of sets."""
SCHEMA = {
    **{"measure": pl.String, "unit": pl.String, "original": pl.Float64, "edited": pl.Float64, "change": pl.Float64},
    **{"low": pl.Float64, "high": pl.Float64, "n": pl.Int64, "whole": pl.String},
}


@dataclass(frozen=True, eq=False)
class Damage:
    """What else an edit broke.

    Args:
        table: A row for each measure: `measure`, `unit`, `original`, `edited`, `change` with the 95 % interval `low` to
            `high`, `n` pictures an arm, and `whole` ("yes" where a test shows that it fell by less than 3 points, "no"
            where one shows more, else how many pictures would decide; null where no such claim is made).
        others: Of each picture of another thing, whether it shows it: the edited model's and the original's; None where
            the judge knows none.
        size: Of the edit, by name: weights, bytes, sites.
    """

    table: pl.DataFrame
    others: tuple[Outcomes, Outcomes] | None
    size: Mapping[str, Any]

    @property
    def is_whole(self) -> str | None:
        """Are all other things within 3 points? "yes", "no", or how many pictures would decide; None for no answer."""
        rows = self.table.filter(pl.col("measure") == OTHERS)["whole"].to_list()
        return rows[0] if rows else None

    def numbers(self) -> dict[str, Any]:
        """Return what JSON has of it."""
        return {"measures": self.table.to_dicts(), "others_within": MARGIN, "size": dict(self.size)}


def damage(
    edited: Victim,
    original: Victim,
    probes: Sequence[Probe],
    judge: Judge,
    trial: Trial,
    folder: Path | None,
    size: Mapping[str, Any],
) -> Damage:
    """Draw the same prompts with both models, and return what differs.

    Args:
        edited: The edited model.
        original: The model without the edit.
        probes: A prompt for each picture.
        judge: Who looks.
        trial: How they are drawn.
        folder: Of finished parts; with None nothing is stored.
        size: Of the edit.
    """
    towers = _towers(original)
    tables = {name: _looked(each, probes, judge, towers, trial, folder) for name, each in _pair(edited, original)}
    rows, others = _rates(probes, tables), None
    if probes:
        single = {each.group for each in probes} - {PAIRS, OPEN}
        others = _outcomes(probes, tables, single) if single else None
        rows += [*_quality(probes, tables, original, towers), *_seeds(probes, tables)]
    rows.append(_speed({name: _rows_a_picture(each, trial, folder) for name, each in _pair(edited, original)}))
    return Damage(pl.DataFrame(rows, schema=SCHEMA, orient="row"), others, size)


def _pair(edited: Victim, original: Victim) -> list[tuple[str, Victim]]:
    return [("edited", edited), ("original", original)]


def _towers(original: Victim) -> Towers | None:
    """Return the towers that suit a model; None where they would have to be fetched."""
    if world_of_model(original.model) is not None:
        return EmojiTowers()
    towers = ClipTowers(CLIP, None, None, {})
    return None if towers.download else towers


def _looked(
    victim: Victim, probes: Sequence[Probe], judge: Judge, towers: Towers | None, trial: Trial, folder: Path | None
) -> pl.DataFrame:
    """Return a row for each picture: prompt, seed, hit, placed, label, broken, thumbnail, clip and features."""
    if not probes:
        return pl.DataFrame()
    about = ["damage", 2, judge.name, judge.revision, dict(judge.settings), [list(each) for each in probes]]
    about += [towers.revision, dict(towers.settings)] if towers else []

    def look(images: Sequence[Image.Image], rows: slice) -> pl.DataFrame:
        part = probes[rows]
        table = PictureStatistics()(images).select("broken", "thumbnail")
        answers = judge(images, prompts=[each.prompt for each in part])
        labels = [answers[each.column][place] for place, each in enumerate(part)]
        seen = pl.DataFrame(
            {
                "prompt": [each.prompt for each in part],
                "seed": list(range(len(probes)))[rows],
                "hit": _all_hits(judge, answers, images, part),
                "placed": _placed(judge, images, part),
                "label": [None if label is None else str(label) for label in labels],
            },
            schema={"prompt": pl.String, "seed": pl.Int64, "hit": pl.Boolean, "placed": pl.Boolean, "label": pl.String},
        )
        return pl.concat([seen, table, *_features(towers, images, part)], how="horizontal")

    return pictures_table(victim, [each.prompt for each in probes], trial, folder, about, look)


def _features(towers: Towers | None, images: Sequence[Image.Image], part: Sequence[Probe]) -> list[pl.DataFrame]:
    if towers is None:
        return []
    vectors = towers.vectors(images)
    cosines = (vectors.double() * towers.of_texts([each.prompt for each in part]).double()).sum(dim=1)
    kind = pl.Array(pl.Float32, towers.width)
    features = pl.Series("features", vectors.numpy(), dtype=kind)
    return [pl.DataFrame([pl.Series("clip", [100 * float(each) for each in cosines]), features])]


def _all_hits(
    judge: Judge, answers: pl.DataFrame, images: Sequence[Image.Image], part: Sequence[Probe]
) -> list[bool | None]:
    """Return of each picture whether all that it should show is there; None for an open prompt.

    Of two things by the rule of an erasure's report, where the judge names two.
    """
    outcomes: list[bool | None] = [True if each.expected else None for each in part]
    asks: list[tuple[int, str, str]] = []
    for place, each in enumerate(part):
        if len(each.expected) == 2 and f"{each.column}_also" in answers:
            named = answers[place].with_columns(one=pl.lit(each.expected[0]), other=pl.lit(each.expected[1]))
            outcomes[place] = named.select(shows_both(named.columns, each.column, "one", "other")).item()
        else:
            asks += [(place, each.column, label) for label in each.expected]
    for column in dict.fromkeys(column for _, column, _ in asks):
        own = [(place, label) for place, name, label in asks if name == column]
        seen = hits(judge, column, [images[place] for place, _ in own], [label for _, label in own])
        for (place, _), hit in zip(own, seen, strict=True):
            outcomes[place] = bool(outcomes[place]) and hit
    return outcomes


def _placed(judge: Judge, images: Sequence[Image.Image], part: Sequence[Probe]) -> list[bool | None]:
    """Return of each picture of two objects whether the left half shows the first and the right one the second."""
    outcomes: list[bool | None] = [None] * len(part)
    places = [place for place, each in enumerate(part) if each.group == PAIRS]
    if places:
        halves = [half for place in places for half in halves_of(images[place])]
        expected = [label for place in places for label in part[place].expected]
        seen = hits(judge, "object", halves, expected)
        for number, place in enumerate(places):
            outcomes[place] = seen[2 * number] and seen[2 * number + 1]
    return outcomes


def halves_of(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Return the left and the right half of a picture, each in the middle of a square of its own background.

    Args:
        image: Two objects side by side on one background.
    """
    width = image.width
    pixels = np.asarray(image.convert("RGB"))
    squares = []
    for left in (0, width // 2):
        half = pixels[:, left : left + width // 2]
        border = np.concatenate([half[0], half[-1]])
        square = np.empty_like(pixels)
        square[:] = np.median(border, axis=0).astype(np.uint8)
        start = (width - half.shape[1]) // 2
        square[:, start : start + half.shape[1]] = half
        squares.append(Image.fromarray(square))
    return squares[0], squares[1]


def _rates(probes: Sequence[Probe], tables: Mapping[str, pl.DataFrame]) -> list[list[Any]]:
    """Return a row for each group of prompts, for all of single things, and for pairs in their places."""
    groups = [name for name in dict.fromkeys(each.group for each in probes) if name != OPEN]
    single = set(groups) - {PAIRS}
    rows = [_rate_row(OTHERS, _outcomes(probes, tables, single))] if single else []
    rows += [_rate_row(name, _outcomes(probes, tables, {name})) for name in groups]
    if PAIRS in groups:
        rows.append(_rate_row(PLACES, _outcomes(probes, tables, {PAIRS}, "placed")))
    return rows


def _outcomes(
    probes: Sequence[Probe], tables: Mapping[str, pl.DataFrame], groups: set[str], column: str = "hit"
) -> tuple[Outcomes, Outcomes]:
    """Return the outcomes of some groups: the edited model's and the original's, clustered by prompt."""
    places = [place for place, each in enumerate(probes) if each.group in groups]
    prompts = tuple(probes[place].prompt for place in places)
    seen = {name: table[column].to_list() for name, table in tables.items()}
    one, other = (tuple(bool(seen[name][place]) for place in places) for name in ("edited", "original"))
    return Outcomes(one, prompts), Outcomes(other, prompts)


def _rate_row(name: str, pair: tuple[Outcomes, Outcomes]) -> list[Any]:
    edited, original = pair
    change = paired_difference(edited, original, CENTRES)
    return [name, "rate", original.rate, edited.rate, *change, edited.n, whole(edited, original)]


def whole(edited: Outcomes, original: Outcomes) -> str:
    """Say whether a rate fell by less than 3 points: "yes", "no", or how many pictures would decide.

    Args:
        edited: Of the edited model.
        original: Of the unedited one, of the same prompts and seeds.

    Example:
        >>> always, half = Outcomes((True,) * 400), Outcomes((True, False) * 200)
        >>> whole(always, always), whole(half, always), whole(Outcomes((True,) * 30), Outcomes((True,) * 30))
        ('yes', 'no', 'about 215 pictures would decide')
    """
    if is_non_inferior(edited, original, MARGIN, paired=True):
        return "yes"
    if paired_difference(edited, original).high < -MARGIN:
        return "no"
    changed = sum(one != other for one, other in zip(edited.hits, original.hits, strict=True))
    needed = pictures_for_non_inferiority((changed + 1) / (edited.n + 2), MARGIN)  # which leaves room for a change
    return f"about {max(needed, 2 * edited.n):,} pictures would decide"


def _quality(
    probes: Sequence[Probe], tables: Mapping[str, pl.DataFrame], original: Victim, towers: Towers | None
) -> list[list[Any]]:
    """Return rows of broken pictures, of CLIP, and of FID against the original and the world's renders."""
    prompts = tuple(each.prompt for each in probes)
    faults = [
        Outcomes(tuple(tables[name]["broken"].is_not_null().to_list()), prompts) for name in ("edited", "original")
    ]
    rate = paired_difference(faults[0], faults[1], CENTRES)
    rows: list[list[Any]] = [["broken pictures", "rate", faults[1].rate, faults[0].rate, *rate, len(probes), None]]
    if towers is None or len(probes) < LEAST_FEATURES:
        return rows
    scores = {name: table["clip"].to_numpy() for name, table in tables.items()}
    change = mean_score((scores["edited"] - scores["original"]).tolist(), clusters=[(each,) for each in prompts])
    means = (float(scores[name].mean()) for name in ("original", "edited"))
    rows.append(["CLIP score", "cosine × 100", *means, *change, len(probes), None])
    vectors = {name: table["features"].to_numpy().astype(np.float64) for name, table in tables.items()}
    apart = set_distance(fid, vectors["edited"], vectors["original"])
    rows.append(["FID from the original's", "towers", 0.0, apart.value, *apart, len(probes), None])
    if world_of_model(original.model) is not None:
        rows.append(_from_world(vectors, towers, original.model.size[0]))
    return rows


def _from_world(vectors: Mapping[str, Any], towers: Towers, size: int) -> list[Any]:
    """Return how much further the edited model's pictures are from the world's own than the original's are."""
    count, captions = len(vectors["edited"]), stream(SEED_OF_WORLD)
    pictures = [Image.fromarray(render(next(captions).picture, size)) for _ in range(count)]
    world = towers.vectors(pictures).numpy().astype(np.float64)
    far = {name: fid(each, world) for name, each in vectors.items()}
    rng, value = np.random.default_rng(0), far["edited"] - far["original"]
    draws = []
    for _ in range(ROUNDS // 4):
        own, theirs = (rng.integers(count, size=count) for _ in range(2))
        ends = [fid(vectors[name][own], world[theirs]) for name in ("edited", "original")]
        draws.append(ends[0] - ends[1])
    return ["FID from the world's", "towers", far["original"], far["edited"], *_centred(value, draws), count, None]


SEED_OF_WORLD = 7
"""Of the world's own pictures."""


def _centred(value: float, draws: Sequence[float]) -> Estimate:
    """Return a number with the interval of its resamples' deviations from their own mean."""
    low, high = np.quantile(np.asarray(draws) - np.mean(draws), [CENTRES, 1 - CENTRES])
    return Estimate(value, float(value + low), float(value + high))


def _seeds(probes: Sequence[Probe], tables: Mapping[str, pl.DataFrame]) -> list[list[Any]]:
    """Return rows of prompts whose seeds became alike, and of how much the seeds of open prompts differ."""
    places = [place for place, each in enumerate(probes) if each.group == OPEN]
    prompts = list(dict.fromkeys(probes[place].prompt for place in places))
    if len(places) < 2 * len(prompts) or not prompts:
        return []
    own = {name: table[places] for name, table in tables.items()}
    lost = collapse(own["edited"], own["original"])["collapsed"].to_list()
    rate = Rate(sum(map(bool, lost)), len(lost))
    labels = {
        name: [part["label"].fill_null("none").to_list() for part in table.partition_by("prompt", maintain_order=True)]
        for name, table in own.items()
    }
    values = {name: float(np.mean([entropy(each) for each in several])) for name, several in labels.items()}
    change = _entropy_change(labels, values["edited"] - values["original"])
    return [
        ["prompts that collapsed", "rate", 0.0, rate.value, rate.value, rate.low, rate.high, len(prompts), None],
        ["diversity of seeds", "bits", values["original"], values["edited"], *change, len(places), None],
    ]


def entropy(labels: Sequence[str]) -> float:
    """Return the entropy of labels in bits, by their shares.

    Example:
        >>> entropy(["owl", "owl", "car", "car"]), entropy(["owl"] * 4)
        (1.0, 0.0)
    """
    _, counts = np.unique(list(labels), return_counts=True)
    shares = counts / counts.sum()
    return float(max(0.0, -(shares * np.log2(shares)).sum()))


def _entropy_change(labels: Mapping[str, Sequence[Sequence[str]]], value: float) -> Estimate:
    """Return the change of the mean entropy, with the bootstrap over the seeds that both models share."""
    rng, draws = np.random.default_rng(0), []
    for _ in range(ROUNDS):
        changes = []
        for after, before in zip(labels["edited"], labels["original"], strict=True):
            rows = rng.integers(len(after), size=len(after))
            changes.append(entropy([after[row] for row in rows]) - entropy([before[row] for row in rows]))
        draws.append(float(np.mean(changes)))
    return _centred(value, draws)


def _rows_a_picture(victim: Victim, trial: Trial, folder: Path | None) -> int:
    """Return the rows of the denoiser that a picture takes, counted: what a guidance costs is part of it."""
    parts: Parts[int] = Parts(folder, ["rows", 1, victim.facts(), trial.drawing], RECORDS)

    def count() -> int:
        meter = Meter(Budget())
        with victim.on() as model, meter.counting(model):
            model.generate("", seeds=0, progress=False, **trial.drawing)
        return meter.spent.forward

    return parts.part("picture", count)


def _speed(rows: Mapping[str, int]) -> list[Any]:
    change = float(rows["edited"] - rows["original"])
    return ["denoiser rows a picture", "count", float(rows["original"]), float(rows["edited"]), *[change] * 3, 1, None]
