"""Does a neighbour in the prompt hurt? An object beside what is like it, and beside what is not (DAAM, Tang 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from matplotlib.figure import Figure
from PIL import Image

from turpentine.concepts import with_article
from turpentine.core.errors import BadArgument
from turpentine.core.progress import Progress
from turpentine.explain.finding import Finding
from turpentine.judges.base import Judge, hits, label_of
from turpentine.models.generate import fitting_pairs
from turpentine.models.model import Model
from turpentine.stats.intervals import Difference, Rate, paired_bootstrap

ALONE, NEAR, FAR = "alone", "beside a neighbour", "beside another"
"""The company that an object has in its prompt."""


@dataclass(frozen=True)
class Entangle:
    """How often an object is drawn alone, beside a neighbour, and beside something else.

    column: the judge's label for objects; where the judge has COLUMN_also, either is a hit. steps: of DDIM.
    guidance_scale: w.
    """

    column: str = "object"
    steps: int = 20
    guidance_scale: float = 4.0
    batch_size: int = 16

    def __call__(
        self,
        model: Model,
        neighbours: Mapping[str, str],
        others: Mapping[str, str],
        seeds: Sequence[int],
        *,
        judge: Judge,
        progress: Progress | None = None,
    ) -> Entangled:
        """Pictures of each object in each company, all with the same seeds.

        neighbours: an object and what is like it. others: for each of these objects, one that is not. progress: called
        with denoising steps done and in all.
        Raises BadArgument where the two are not of the same objects, for one that is in company of itself or twice of
        the same, for an object that is no label of the judge's or a prompt that is too long; UnknownName for a column
        that the judge has not.
        """
        if not neighbours or neighbours.keys() != others.keys():
            raise BadArgument("Neighbours and others must be of the same objects, one at least.")
        for one in neighbours:
            if len({each.strip().lower() for each in (one, neighbours[one], others[one])}) < 3:
                raise BadArgument(
                    f"{one!r} beside {neighbours[one]!r} and {others[one]!r} shows nothing: give three different "
                    "things, such as 'dog' beside 'cat' and 'church'."
                )
        labels = {one: label_of(judge, self.column, one) for one in neighbours}
        asked = [
            (company, one, f"{with_article(one)} and {with_article(of[one])}" if of else with_article(one), seed)
            for company, of in ((ALONE, None), (NEAR, neighbours), (FAR, others))
            for one in neighbours
            for seed in seeds
        ]
        prompts, numbers = fitting_pairs(model, [prompt for _, _, prompt, _ in asked], [seed for *_, seed in asked])
        images = model.generate(
            prompts,
            seeds=numbers,
            steps=self.steps,
            guidance_scale=self.guidance_scale,
            batch_size=self.batch_size,
            progress=progress,
        )
        rows = pl.DataFrame(asked, ["company", "object", "prompt", "seed"], orient="row")
        hit = hits(judge, self.column, images, [labels[one] for one in rows["object"]])
        rows = rows.with_columns(pl.Series("hit", hit))
        return Entangled(_summary(rows), model.sites, "An object and its company", rows, images)


@dataclass(frozen=True, eq=False)
class Entangled(Finding):
    """How often objects are drawn.

    table: a row for each company: company, value (the rate), low, high, n. rows: the same for each picture: company,
    object, prompt, seed, hit. images: in the order of the rows.
    """

    rows: pl.DataFrame
    images: list[Image.Image]

    @property
    def harm(self) -> Difference:
        """The rate beside a neighbour minus that beside another, over the same objects and seeds."""
        near, far = (self.rows.filter(pl.col("company") == company)["hit"].to_list() for company in (NEAR, FAR))
        return paired_bootstrap(far, near)

    def plot(self) -> Figure:
        """The three rates with their intervals."""
        figure = Figure(figsize=(4.2, 2.0), layout="constrained")
        axis = figure.subplots()
        value = self.table["value"].to_numpy()
        ends = [value - self.table["low"].to_numpy(), self.table["high"].to_numpy() - value]
        axis.barh(self.table["company"].to_list(), value, xerr=ends, color="#7fa3cc", ecolor="#1f3a5f", capsize=3)
        axis.set(xlim=(0, 1), xlabel="drawn")
        axis.invert_yaxis()
        axis.spines[["top", "right"]].set_visible(False)
        return figure


def _summary(rows: pl.DataFrame) -> pl.DataFrame:
    found = []
    for (company,), part in rows.group_by("company", maintain_order=True):
        rate = Rate.of(part["hit"].to_list())
        assert rate is not None  # there is an object and a seed
        found.append((company, rate.value, rate.low, rate.high, rate.n))
    return pl.DataFrame(found, ["company", "value", "low", "high", "n"], orient="row")
