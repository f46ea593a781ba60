"""Findings as pages of the documents show them: tables in Markdown, and pictures side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from jaxtyping import Float
from PIL import Image

from turpentine.core.formatting import Interval, with_span
from turpentine.core.markdown import markdown_table
from turpentine.explain._branches import LAYOUT, SAME, UNTOUCHED, BranchesFinding
from turpentine.explain._codes import WINDOWS
from turpentine.explain._plots import hide_axes, new_figure
from turpentine.explain._series import Series
from turpentine.explain._subjects import OBJECT, Subject
from turpentine.explain.dynamics import CHANGE, UPDATE, WORDS, DynamicsFinding
from turpentine.explain.intervene import InterveneFinding
from turpentine.explain.locogen import LocoGenFinding
from turpentine.explain.stops import Page
from turpentine.explain.trace import TraceFinding
from turpentine.judges.base import Judge, hits
from turpentine.models.model import Model
from turpentine.models.site_table import short_names
from turpentine.stats.clusters import Clusters
from turpentine.stats.correlation import spearman, spearman_interval
from turpentine.stats.intervals import Estimate, Rate, mean_score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURED = ("object kept", "style kept", "colour kept", LAYOUT, "fine detail", "fine detail of latents")
"""What the tables of interventions have, of what a finding has."""

EXAMPLES = (0, 3, 5)
"""Prompts whose first picture is in a figure."""

ACROSS = 9
"""Pictures of a figure's line, at most."""

BEST = 6
"""Components in a trace's table."""

ROUNDS = 1000
"""Of resampling prompts."""


@dataclass(frozen=True)
class Pictures:
    """What a finding was made from.

    Args:
        model: The model.
        judge: Of the pictures, if there is one.
        of: The subject of each picture.
        seeds: Pictures of a prompt.
    """

    model: Model
    judge: Judge | None
    of: Sequence[Subject]
    seeds: int

    @property
    def clusters(self) -> Clusters:
        """Return what belongs together: the pictures of a prompt."""
        return [(subject.prompt,) for subject in self.of]

    def examples(self, prompts: Sequence[int] = EXAMPLES) -> list[int]:
        """Return the numbers of the first pictures of some prompts, as far as there are so many."""
        return [prompt * self.seeds for prompt in prompts if prompt * self.seeds < len(self.of)]


def spanned(number: Interval, scale: float = 100.0, digits: int = 0) -> str:
    """Return a number and its interval, in percent or as it is.

    Example:
        >>> spanned(Estimate(0.5, 0.25, 1.0)), spanned(Estimate(0.5, -0.25, 1.0), 1, 2)
        ('50 (25–100)', '0.50 (-0.25–1.00)')
    """
    return "{} ({}–{})".format(*(f"{scale * each:.{digits}f}" for each in (number.value, number.low, number.high)))


def interventions(finding: BranchesFinding, pictures: Pictures, mark: str, figure: str) -> Page:
    """Return a line for each intervention, a column for each measure; and some pictures under each."""
    return Page({mark: measures(finding)}, {figure: strip(finding, pictures)})


def measures(finding: BranchesFinding) -> str:
    """Return the table of interventions and measures."""
    columns = [column for column in MEASURED if column in set(finding.table["measure"])]
    rows = []
    for (letters,), part in finding.table.group_by("letters", maintain_order=True):
        numbers = [Estimate(*part.filter(pl.col("measure") == column).row(0)[2:5]) for column in columns]
        rows.append([str(letters), *map(spanned, numbers)])
    return markdown_table(["", *(f"{column}, %" for column in columns)], rows)


def strip(finding: BranchesFinding, pictures: Pictures) -> Figure:
    """Return a figure of a few pictures under each intervention, side by side."""
    names, examples = list(finding.images), pictures.examples()
    across = math.ceil(len(names) / math.ceil(len(names) / ACROSS))
    blocks = [names[start : start + across] for start in range(0, len(names), across)]
    figure = new_figure(0.95 * across, 1.02 * len(blocks) * len(examples))
    axes = figure.subplots(len(blocks) * len(examples), across, squeeze=False)
    hide_axes(axes.flat)
    for block, group in enumerate(blocks):
        for row, picture in enumerate(examples):
            for axis, name in zip(axes[block * len(examples) + row], group, strict=False):
                axis.imshow(_large(finding.images[name][picture]))
                if row == 0:
                    axis.set_title(name, fontsize=8)
    return figure


def _large(image: Image.Image) -> Image.Image:
    """Return a small picture with clear pixels."""
    times = max(1, 128 // image.width)
    return image.resize((times * image.width, times * image.height), Image.Resampling.NEAREST)


def windows(finding: InterveneFinding, pictures: Pictures, mark: str, figure: str) -> Page:
    """Return what severing and what the empty prompt does, each in a table and a figure, and how they differ."""
    severed, swapped = _by_acts(finding, "qo"), _by_acts(finding, "pr")
    tables = {"severed": measures(severed), "swapped": measures(swapped), "deblurring": deblurring(finding)}
    figures = {f"{mark}-severed": strip(severed, pictures), f"{mark}-swapped": strip(swapped, pictures)}
    return Page(tables, figures)


def _by_acts(finding: InterveneFinding, acts: str) -> InterveneFinding:
    """Return the finding of some of its letters alone, and the untouched pictures."""
    names = [name for name in finding.images if name == UNTOUCHED or name[0] in acts]
    chosen = pl.col("letters").is_in(names)
    images = {name: finding.images[name] for name in names}
    return replace(finding, table=finding.table.filter(chosen), rows=finding.rows.filter(chosen), images=images)


def deblurring(finding: InterveneFinding) -> str:
    """Return each window's severed pictures less its swapped ones, over the same pictures."""
    rows = []
    for window in WINDOWS:
        one, other = (finding.rows.filter(pl.col("letters") == f"{act}{window}") for act in "qp")
        cells = []
        for measure in ("fine detail", "fine detail of latents", LAYOUT):
            apart = mean_score((one[measure] - other[measure]).to_list(), clusters=one.select("prompt").rows())
            cells.append("{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * each for each in apart)))
        rows.append([f"q{window} − p{window}", *cells])
    return markdown_table(["points", "fine detail", "fine detail of latents", LAYOUT], rows)


def grid(finding: InterveneFinding, pictures: Pictures, mark: str, figure: str) -> Page:
    """Return layout and object by layer and window, how much of it is no sum of the two, and the plot of the layout."""
    names = {LAYOUT: mark, f"{OBJECT}{SAME}": f"{mark}-object"}
    measured = [measure for measure in names if measure in finding.rows.columns]
    tables = {names[measure]: _grid(finding, measure) for measure in measured}
    return Page(tables, {figure: finding.plot_grid(LAYOUT)})


def _grid(finding: InterveneFinding, measure: str) -> str:
    windows, layers, _ = finding.grid(measure)
    own = finding.table.filter((pl.col("measure") == measure) & (pl.col("letters") != UNTOUCHED))
    cells = [spanned(Estimate(*row)) for row in own.select("value", "low", "high").iter_rows()]
    rows = [[layer, *cells[at * len(windows) :][: len(windows)]] for at, layer in enumerate(layers)]
    ends = ["{:.0f}–{:.0f} %".format(*(100 * end for end in WINDOWS[window])) for window in windows]
    share = interaction(finding, measure)
    note = f"Of what differs between the places {spanned(share)} % is no sum of layer and part of the steps."
    return f"{markdown_table(['severed', *ends], rows)}\n\n{note}"


def interaction(finding: InterveneFinding, measure: str) -> Estimate:
    """Return the interaction's share of the sum of squares over layers and windows, with its interval over prompts."""
    own = finding.rows.filter(pl.col("letters") != UNTOUCHED)
    by_prompt = own.group_by("prompt", "letters", maintain_order=True).agg(pl.col(measure).cast(pl.Float64).mean())
    windows, layers, _ = finding.grid(measure)
    values = np.stack(
        [part[measure].to_numpy() for part in by_prompt.partition_by("prompt", maintain_order=True)]
    ).reshape(-1, len(layers), len(windows))
    draws = np.random.default_rng(0).integers(len(values), size=(ROUNDS, len(values)))
    low, high = np.percentile([_interaction(values[draw].mean(0)) for draw in draws], [2.5, 97.5])
    return Estimate(_interaction(values.mean(0)), float(low), float(high))


def _interaction(values: Float[np.ndarray, "layer window"]) -> float:
    centred = values - values.mean()
    left = centred - centred.mean(0) - centred.mean(1, keepdims=True)
    total = float(np.square(centred).sum())
    return float(np.square(left).sum()) / total if total else 0.0


def two(finding: InterveneFinding, pictures: Pictures, mark: str, figure: str) -> Page:
    """Return how often each of two objects is drawn, both, and one without the other."""
    judge = pictures.judge
    if judge is None or OBJECT not in judge.columns:
        return interventions(finding, pictures, mark, figure)
    rows = []
    for letters, images in finding.images.items():
        words = ([str(subject.word(column)) for subject in pictures.of] for column in (OBJECT, "second"))
        first, second = (np.array(hits(judge, OBJECT, images, labels), dtype=bool) for labels in words)
        rates = [Rate.of(each.tolist(), pictures.clusters) for each in (first, second, first & second, first ^ second)]
        rows.append([letters, *(with_span(rate) for rate in rates if rate)])
    head = ["", "the first, %", "the second, %", "both, %", "one alone, %"]
    return Page({mark: markdown_table(head, rows)}, {figure: strip(finding, pictures)})


def memorised(finding: InterveneFinding, pictures: Pictures, mark: str, figure: str) -> Page:
    """Return how often a judge that knows works sees the one that was asked for; and the layout, without it as well."""
    titles, knows = (
        [subject.label for subject in pictures.of],
        "work" in (pictures.judge.columns if pictures.judge else ()),
    )
    rows = []
    for letters, images in finding.images.items():
        cells = [str(letters)]
        if pictures.judge and knows:
            rate = Rate.of(hits(pictures.judge, "work", images, titles), [(title,) for title in titles])
            assert rate is not None  # there is a picture at least
            cells.append(with_span(rate))
        own = finding.rows.filter(pl.col("letters") == letters)
        cells.append(spanned(mean_score(own[LAYOUT].to_list(), clusters=own.select("prompt").rows())))
        rows.append(cells)
    head = ["", *(["the work, %"] if knows else []), "layout, %"]
    return Page({mark: markdown_table(head, rows)}, {figure: strip(finding, pictures)})


def dynamics(finding: DynamicsFinding, pictures: Pictures, mark: str, figure: str) -> Page:
    """Return the curves at some steps, what each module does in each quarter of them, and the plot."""
    return Page({"curves": _curves(finding), "peaks": _peaks(finding)}, {figure: finding.plot()})


def _curves(finding: DynamicsFinding) -> str:
    """Return latent change and word probability at five steps, and how near each curve is to a line and a parabola."""
    rows, steps = [], []
    for measure in (CHANGE, WORDS):
        part = finding.table.filter(pl.col("measure") == measure).sort("step")
        at = np.linspace(0, len(part) - 1, 5).round().astype(int)
        steps = [f"step {step + 1}" for step in at]
        cells = [spanned(Estimate(*part.select("value", "low", "high").row(int(step))), 1, 3) for step in at]
        fits = [f"{_share_explained(part['value'].to_numpy(), degree):.3f}" for degree in (1, 2)]
        rows.append([measure, *cells, *fits])
    return markdown_table(["", *steps, "R² of a line", "R² of a parabola"], rows)


def _share_explained(values: Float[np.ndarray, " step"], degree: int) -> float:
    at = np.arange(len(values))
    left = values - np.polyval(np.polyfit(at, values, min(degree, len(at) - 1)), at)
    return float(1 - left.var() / values.var()) if values.var() else 1.0


def _peaks(finding: DynamicsFinding) -> str:
    """Return for each module the step of its largest update, and its updates' part in each quarter of the steps."""
    rows, at, size = [], [], []
    updates = finding.table.filter(pl.col("measure") == UPDATE)
    for (label,), part in updates.group_by("label", maintain_order=True):
        value = part.sort("step")["value"].to_numpy()
        (site,) = finding.everything.named([part["site"][0]])
        quarters = [f"{100 * each.sum() / value.sum():.0f}" for each in np.array_split(value, 4)]
        rows.append([str(label), f"{site.resolution} × {site.resolution}", str(1 + int(value.argmax())), *quarters])
        at.append((value * np.arange(len(value))).sum() / value.sum())
        size.append(float(site.resolution or 0))
    head = ["module", "works at", "largest in step", *(f"quarter {number}, %" for number in (1, 2, 3, 4))]
    sizes, times = np.array(size), np.array(at)
    r, (low, high) = spearman(sizes, times), spearman_interval(sizes, times, rounds=1000)
    note = f"Rank correlation of resolution and mean time over the modules: {r:.2f} ({low:.2f} to {high:.2f})."
    return f"{markdown_table(head, rows)}\n\n{note}"


def heads(finding: Series, pictures: Pictures, mark: str, figure: str) -> Page:
    """Return the best and worst head for each grouping's keys and values, against chance; and their plots."""
    rows = []
    for name, each in finding.findings.items():
        for part in ("key", "value"):
            own = each.table.filter(pl.col("part") == part).sort("score", descending=True)
            ends = [
                f"{row['label']}, head {row['head']}: {spanned(Estimate(row['score'], row['low'], row['high']), 1, 2)}"
                for row in (own.row(0, named=True), own.row(-1, named=True))
            ]
            chance = f"{each.chance:.2f} (p {each.p:.3f})"
            above, positive = int((own["score"] > each.chance).sum()), int((own["low"] > 0).sum())
            numbers = [f"{count} of {len(own)}" for count in (above, positive)]
            rows.append([name, f"{part}s", *ends, chance, *numbers, f"{own['score'].mean():.2f}"])
    head = ["groups", "", "best", "worst", "best by chance", "above that", "interval above 0", "mean of all"]
    figures = {f"{figure}-{name}": each.plot() for name, each in finding.findings.items()}
    return Page({mark: markdown_table(head, rows)}, figures)


def trace(finding: TraceFinding, pictures: Pictures, mark: str, figure: str) -> Page:
    """Return the clean and the corrupted score, and the components with the largest effects; and the plot."""
    best, names = finding.table.sort("effect", descending=True).head(BEST), short_names(finding.table)
    rows = [
        [f"{row['kind']} {names[row['site']]}", spanned(Estimate(row["effect"], row["low"], row["high"]))]
        for row in best.iter_rows(named=True)
    ]
    note = f"Clean {spanned(finding.clean)} %, corrupted {spanned(finding.corrupted)} %."
    return Page(
        {mark: f"{note}\n\n{markdown_table(['component', 'indirect effect, points'], rows)}"}, {figure: finding.plot()}
    )


def locogen(finding: LocoGenFinding, pictures: Pictures, mark: str, figure: str) -> Page:
    """Return how often the concepts go with each window of layers."""
    rows = [
        [row["window"], spanned(Estimate(row["score"], row["low"], row["high"]))]
        for row in finding.table.iter_rows(named=True)
    ]
    return Page({mark: markdown_table(["layers told the empty prompt", "pictures without the object, %"], rows)}, {})


def coar(finding: Series, pictures: Pictures, mark: str, figure: str) -> Page:
    """Return how both scores of modules go with ablating each alone, and with each other; and the first plot."""
    rows: list[list[Any]] = []
    for name, each in finding.findings.items():
        rows += [[name, title, spanned(each.agreement(column), 1, 2)] for column, title in _COAR.items()]
        rows.append([name, "regression and first order", spanned(each.agreement("score", "cad"), 1, 2)])
    first, each = next(iter(finding.findings.items()))
    plot = {f"{figure}-{first.replace(' ', '-')}": each.plot()}
    return Page({mark: markdown_table(["object", "of what", "Pearson's r"], rows)}, plot)


_COAR = {"score": "regression", "cad": "first order"}
