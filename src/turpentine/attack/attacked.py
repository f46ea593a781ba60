"""What comes out of an attack: the artefact, new pictures of it, what it cost, and how often it shows the concept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from math import comb
from typing import TYPE_CHECKING, Any

import polars as pl
from PIL import Image

from turpentine.attack._pictures import rate_over_prompts
from turpentine.attack.budget import Spent
from turpentine.core.finding import TableFinding
from turpentine.core.formatting import percent, with_span
from turpentine.edits import Edit
from turpentine.models import Artefact
from turpentine.stats.intervals import Rate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHEET_COLUMNS = 10


@dataclass(frozen=True, eq=False)
class Attacked(TableFinding):
    """The outcome of an attack.

    Args:
        table: The curve of success against budget, a row for each stage of the search: `forward`, `backward`, `text`
            and `judged` (spent until then), `hits`, `n`, `success`, `low`, `high`.
        title: The attack, and what it was on.
        artefact: What brings the concept back, best of the search: an `Artefact`, or an `Edit` of the weights.
        pictures: New ones, drawn from the artefact after the search.
        outcomes: Of each new picture: is the concept in it?
        tries: Of each picture that the search itself judged, in order.
        spent: By the search.
        round_trips: Does the artefact's prompt, typed as a text, become the tokens that were evaluated?
        measurements: What the attack has to say beside, by name.
        prompts: Of the new pictures, in turns; none where they are all of one.
    """

    table: pl.DataFrame
    title: str
    artefact: Artefact | Edit
    pictures: tuple[Image.Image, ...]
    outcomes: tuple[bool, ...]
    tries: tuple[bool, ...]
    spent: Spent
    round_trips: bool
    measurements: Mapping[str, Any]
    prompts: tuple[str, ...] = ()

    @cached_property
    def success(self) -> Rate:
        """How often a new picture shows the concept: the rate of the first try, with a 95 % interval.

        It is over prompts where several take turns, and over pictures of one prompt.
        """
        return rate_over_prompts(self.outcomes, self.prompts or ("",))

    def best_of(self, n: int) -> float:
        """Return the chance that one of n new pictures at least shows the concept, if they are drawn from these.

        1 − C(misses, n)/C(all, n), which has no bias (Chen et al. 2021, arXiv 2107.03374).

        Args:
            n: Pictures, from 1 to as many as there are.
        """
        count = len(self.outcomes)
        n = min(n, count)
        return 1 - comb(count - sum(self.outcomes), n) / comb(count, n)

    @property
    def first_hit(self) -> int | None:
        """Which picture of the search was the first with the concept, from 1; None for none, or none judged."""
        return self.tries.index(True) + 1 if True in self.tries else None

    def plot(self) -> Figure:
        """Plot success against the denoiser's rows, or what else was spent."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5, 3), layout="constrained")
        axes = figure.subplots()
        unit = next((each for each in ("forward", "text", "judged") if self.table[each].max()), "forward")
        x, y = self.table[unit].to_list(), self.table["success"].to_list()
        low, high = self.table["low"].to_list(), self.table["high"].to_list()
        axes.fill_between(x, low, high, alpha=0.2)
        axes.plot(x, y, marker="o")
        axes.set(title=self.title, xlabel=_LABELS[unit], ylabel="share of pictures with it", ylim=(-0.03, 1.03))
        return figure

    def summary(self) -> str:
        """Say what brought the concept back, and how often."""
        n = min(5, len(self.outcomes))
        text = (
            f"{self.title}: {with_span(self.success)} % of {len(self.outcomes)} new pictures show the concept at the "
        )
        text += (
            f"first try, {percent(self.best_of(n))} at the best of {n}, by {_title(self.artefact)}; spent {self.spent}."
        )
        if self.tries:
            first = f"the first hit was picture {self.first_hit}" if self.first_hit else "none was a hit"
            text += f" The search judged {len(self.tries)} pictures: {first}."
        if not self.round_trips:
            text += " Its prompt, typed as a text, becomes other tokens: draw it from its file."
        return text + _listed(self.measurements)

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the summary."""
        rate, n = self.success, min(5, len(self.outcomes))
        return {
            "artefact": _title(self.artefact),
            "success": rate.value,
            "low": rate.low,
            "high": rate.high,
            "hits": rate.hits,
            "n": rate.n,
            "best_of": {"n": n, "rate": self.best_of(n)},
            "tries": {"n": len(self.tries), "first_hit": self.first_hit},
            "spent": asdict(self.spent),
            "round_trips": self.round_trips,
            **self.measurements,
        }

    def images_to_save(self) -> Mapping[str, Image.Image]:
        """Return the new pictures as one sheet."""
        return {"pictures.png": sheet(self.pictures)}


def sheet(pictures: Sequence[Image.Image], columns: int = SHEET_COLUMNS) -> Image.Image:
    """Return pictures in rows on one sheet."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    whole = Image.new("RGB", (width * min(columns, len(pictures)), height * rows), "white")
    for index, picture in enumerate(pictures):
        whole.paste(picture, (width * (index % columns), height * (index // columns)))
    return whole


def curve(stages: Sequence[tuple[Spent, Rate]]) -> pl.DataFrame:
    """Return the table of an `Attacked`: what was spent until each stage, and what pictures showed there."""
    rows = []
    for spent, rate in stages:
        row = {**asdict(spent), "hits": rate.hits, "n": rate.n, "success": rate.value}
        rows.append({**row, "low": rate.low, "high": rate.high})
    return pl.DataFrame(rows)


def _title(artefact: Artefact | Edit) -> str:
    if isinstance(artefact, Artefact):
        return artefact.title
    return f"an edit of {sum(artefact.count(name) for name in artefact.names):,} weights"


def _listed(measurements: Mapping[str, Any]) -> str:
    """Return what an attack has to say beside, as a sentence; nothing for nothing."""
    values = {name: f"{each:.3g}" if isinstance(each, float) else each for name, each in measurements.items()}
    parts = [f"{name} {'none' if each is None else each}" for name, each in values.items()]
    return f" Measured beside: {', '.join(parts)}." if parts else ""


_LABELS = {"forward": "rows of the denoiser", "text": "texts encoded", "judged": "pictures judged"}
