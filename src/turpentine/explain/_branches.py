"""Pictures under interventions beside the untouched ones: drawn side by side, measured, and summed up in a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from PIL import Image
from torch import Tensor

from turpentine.core.formatting import percent
from turpentine.core.parts import Parts, Tensors
from turpentine.core.progress import Progress
from turpentine.explain._image_stats import channels_first, foreground, high_share, overlap
from turpentine.explain._plots import draw_bars, new_figure
from turpentine.explain.finding import Finding
from turpentine.judges.base import Judge
from turpentine.models.branches import Intervention, pictures_at_once, run_branches
from turpentine.models.generate import batches
from turpentine.models.interface import Latents
from turpentine.models.model import Model
from turpentine.models.sampler import rows_in_a_step
from turpentine.stats.intervals import Rate, mean_score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNTOUCHED = "untouched"

LAYOUT = "layout"
"""The measure that needs no judge."""

SAME = " kept"
"""How the names of the measures end that are of a judge's labels."""


@dataclass(frozen=True, eq=False)
class Branches:
    """Latents and pictures by the intervention's name, UNTOUCHED first, in the order of prompts and seeds."""

    prompts: list[str]
    seeds: list[int]
    latents: dict[str, Latents]
    images: dict[str, list[Image.Image]]

    def rows(self, judge: Judge | None) -> pl.DataFrame:
        """Return a row of measures for each intervention and picture; see `BranchesFinding`."""
        return pl.concat(list(self._rows_by_name(judge)))

    def _rows_by_name(self, judge: Judge | None) -> Iterator[pl.DataFrame]:
        answers = {name: judge(some, prompts=self.prompts) for name, some in self.images.items()} if judge else {}
        labels = [name for name, column in judge.columns.items() if column.labels] if judge else []
        for name, images in self.images.items():
            columns: dict[str, Any] = {"letters": [name] * len(images), "prompt": self.prompts, "seed": self.seeds}
            for label in labels:
                columns[f"{label}{SAME}"] = answers[name][label].eq_missing(answers[UNTOUCHED][label])
            pairs = zip(images, self.images[UNTOUCHED], strict=True)
            columns[LAYOUT] = [overlap(foreground(now), foreground(before)) for now, before in pairs]
            columns["fine detail"] = [high_share(channels_first(image)) for image in images]
            columns["fine detail of latents"] = [high_share(z.double().numpy()) for z in self.latents[name].cpu()]
            yield pl.DataFrame(columns)


def draw_branches(
    model: Model,
    interventions: Mapping[str, Intervention],
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    steps: int,
    guidance_scale: float,
    rows: int,
    parts: Parts[Tensors],
    progress: Progress | None = None,
) -> Branches:
    """Draw pairs of prompts and seeds, untouched and under each intervention.

    Args:
        model: The model.
        interventions: By name.
        prompts: One for each picture.
        seeds: One for each picture.
        steps: Of DDIM.
        guidance_scale: w.
        rows: Of the denoiser in a call, at most, unless the interventions on one picture need more.
        parts: Finished parts, from which an interrupted run goes on.
        progress: Called with pictures done and in all.
    """
    latents: dict[str, list[Latents]] = {name: [] for name in (UNTOUCHED, *interventions)}

    def draw(some: slice) -> dict[str, Tensor]:
        untouched, runs = run_branches(
            model,
            list(interventions.values()),
            model.encode(prompts[some]),
            model.encode([""]),
            model.noise(seeds[some]),
            steps=steps,
            guidance_scale=guidance_scale,
        )
        return {"runs": torch.stack([untouched, *runs])}

    each = rows_in_a_step(model, guidance_scale, steps)
    for some in batches(len(prompts), pictures_at_once(len(interventions), rows, each)):
        runs = parts.part([list(prompts[some]), list(seeds[some])], partial(draw, some))["runs"]
        for batch, run in zip(latents.values(), runs.to(model.device), strict=True):
            batch.append(run)
        if progress:
            progress(some.stop, len(prompts))
    images = {name: [image for part in batch for image in model.decode(part)] for name, batch in latents.items()}
    return Branches(list(prompts), list(seeds), {name: torch.cat(batch) for name, batch in latents.items()}, images)


def summarize(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the mean or the rate of each measure over the pictures, with its interval, for each intervention."""
    lines = []
    for (letters,), part in rows.group_by("letters", maintain_order=True):
        for measure in part.columns[3:]:
            values = part[measure].to_list()
            is_rate, prompts = part[measure].dtype == pl.Boolean, part.select("prompt").rows()
            mean = Rate.of(values, prompts) if is_rate else mean_score(values, clusters=prompts)
            assert mean is not None  # there is a picture at least
            lines.append((letters, measure, mean.value, mean.low, mean.high, len(values)))
    return pl.DataFrame(lines, ["letters", "measure", "value", "low", "high", "n"], orient="row")


@dataclass(frozen=True, eq=False)
class BranchesFinding(Finding):
    """What became of pictures under interventions.

    Args:
        table: A row for each intervention and measure: letters (the intervention's name), measure, value, low, high, n.
            Measures: "COLUMN kept" is the share of pictures of which the judge says what it says of the untouched one;
            "layout" the overlap of what stands out from the background with that of the untouched picture, 0 to 1;
            "fine detail" and "fine detail of latents" the share of the power spectrum at the higher frequencies, 0 to
            1.
        rows: The same for each picture, with prompt and seed.
        images: By intervention, "untouched" among them.
    """

    rows: pl.DataFrame
    images: dict[str, list[Image.Image]]

    def plot(self) -> Figure:
        """Plot a panel for each measure, with a bar for each intervention."""
        measures = self.table["measure"].unique(maintain_order=True).to_list()
        letters = self.table["letters"].unique(maintain_order=True).to_list()
        figure = new_figure(2.2 + 1.7 * len(measures), 0.8 + 0.28 * len(letters))
        axes = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
        names = [self.bar_name(name) for name in letters]
        for axis, measure in zip(axes, measures, strict=True):
            part = self.table.filter(pl.col("measure") == measure)
            draw_bars(axis, names, part)
            axis.set_title(measure, fontsize=9)
            axis.set_xlim(0, 1 if part["value"].to_numpy().max() > 0.5 else None)
            axis.tick_params("x", labelsize=8)
        axes[0].invert_yaxis()
        return figure

    def main_measure(self) -> str:
        """Return the measure that the summary is of: what the judge says first, or the layout without a judge."""
        measures = self.table["measure"].unique(maintain_order=True).to_list()
        return next((measure for measure in measures if measure.endswith(SAME)), LAYOUT)

    def summary(self) -> str:
        """Say under which intervention least is left of the untouched pictures, and under which most."""
        measure = self.main_measure()
        of_measure = (pl.col("measure") == measure) & (pl.col("letters") != UNTOUCHED)
        ranked = self.table.filter(of_measure).sort("value", maintain_order=True).rows(named=True)
        least, most = ranked[0], ranked[-1]
        if len(ranked) == 1:
            return f"Under {self.bar_name(least['letters'])}, {_left(least)}."
        if percent(least["value"]) == percent(most["value"]):
            return f"Under each of the {len(ranked)} interventions, {_left(least)}."
        return (
            f"Least is left under {self.bar_name(least['letters'])}: {_left(least)}. "
            f"Most is left under {self.bar_name(most['letters'])}: {_left(most)}."
        )

    def bar_name(self, letters: str) -> str:
        """Return what the plot calls an intervention."""
        return letters


def _left(row: Mapping[str, Any]) -> str:
    """Return how much of the untouched pictures is left, with its interval and n, as text."""
    pictures = "1 picture" if row["n"] == 1 else f"{row['n']} pictures"
    rate = f"{percent(row['value'])} ({percent(row['low'])} to {percent(row['high'])}; {pictures})"
    if row["measure"] == LAYOUT:
        return f"the layout overlaps that of the untouched picture by {rate}"
    return f"the judge sees the same {row['measure'].removesuffix(SAME)} as in the untouched picture in {rate}"
