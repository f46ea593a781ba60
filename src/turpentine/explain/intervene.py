"""Sever or swap attention to the text, here or there, now or then, and see what is left of a picture (thesis 0.4.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import polars as pl
from jaxtyping import Float

from turpentine.core.errors import BadArgument
from turpentine.core.formatting import percent
from turpentine.core.progress import Progress
from turpentine.core.settings import Count, Finite, Settings
from turpentine.explain._branches import LAYOUT, SAME, UNTOUCHED, BranchesFinding, draw_branches, summarize
from turpentine.explain._codes import WINDOWS, intervention, is_idle, is_joint, modules_of, swaps, usual
from turpentine.explain._plots import new_figure
from turpentine.explain._series import part_of_progress
from turpentine.explain.cache import parts_of
from turpentine.explain.stops import Stop, TourInputs
from turpentine.judges.base import Judge, sought
from turpentine.judges.worlds import check_judge_of
from turpentine.models.branches import branch_rows, runs_at_once
from turpentine.models.drawing_defaults import drawing_of
from turpentine.models.generate import batches, fitting_pairs
from turpentine.models.joint_reading import check_empty
from turpentine.models.model import Model
from turpentine.models.sites import Sites

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUARTERS = ("1", "2", "3", "4")
"""The thesis's windows that follow one another; see `_codes.WINDOWS`."""


@dataclass(frozen=True)
class Intervene(Settings):
    """Sever modules, or give them the empty prompt, in some layers or in a part of the steps, and see what is left.

    Each picture under an intervention stands beside the untouched one of the same prompt and seed. What comes before an
    intervention is drawn once for all (thesis, section 0.4.2).

    Args:
        letters: The interventions: q severs inside, o everywhere but inside, p swaps the prompt for the empty one
            inside, r everywhere but inside; then a window (1, 2, 3, 4, 1.2), modules (ALL, LOWRES, HIGHRES, a label
            such as MID), or both, such as q2:MID. By default q1 to q4, qALL, and q and o of LOWRES and HIGHRES where
            the model has such.
        kind: Which kind of modules: cross-attention, self-attention, feed-forward or resnet. Where there is joint
            attention in the place of cross-attention, the picture does not read the text (q, o), or reads that of ε_∅
            (p, r), and the text's own stream goes on.
        steps: DDIM steps of a picture; by default as many as the model's family takes, 20 in the emoji world.
        guidance_scale: How strongly the prompt guides (w); by default as the family takes it, 4 in the emoji world.
        rows: Rows of the denoiser in one call, unless the interventions on one picture need more; fewer take less
            memory.

    Example:
        >>> finding = Intervene(letters=("qALL", "p2"), steps=2)(model, "a church", 0)
        >>> finding.table["letters"].unique(maintain_order=True).to_list()
        ['untouched', 'qALL', 'p2']
    """

    name: ClassVar[str] = "intervene"
    letters: tuple[str, ...] | None = None
    kind: str = "cross-attention"
    steps: Count | None = None
    guidance_scale: Finite | None = None
    rows: Count = 256

    def __call__(
        self,
        model: Model,
        prompts: str | Sequence[str],
        seeds: int | Sequence[int] = range(8),
        *,
        concept: str | None = None,
        judge: Judge | None = None,
        cache: Path | None = None,
        progress: Progress | None = None,
    ) -> InterveneFinding:
        """Draw and measure pictures under each intervention.

        Args:
            model: The model.
            prompts: What to draw; pair up with the seeds as in `Model.generate`.
            seeds: Of the pictures.
            concept: Words of the prompts that the question is about: their label, as the judge
                sees it, is in the summary; without them the layout is.
            judge: Its columns of labels are compared with what it says of the untouched picture.
            cache: The folder for finished parts, from which an interrupted run goes on.
            progress: Called with pictures done and in all.

        Raises:
            BadArgument: There is no intervention, a prompt is too long, p or r are of another kind of modules, or of
                joint attention where ε_∅ is not computed.
            UnknownName: Letters of another form, or a window that there is not.
            EmptySelection: Modules that the model has not.
        """
        check_judge_of(model, judge)
        letters, drawing = (
            usual(model, kind=self.kind) if self.letters is None else self.letters,
            drawing_of(self, model),
        )
        if not letters:
            raise BadArgument("There is no intervention to try: give letters, such as q1 or oLOWRES.")
        if any(map(swaps, letters)) and is_joint(modules_of(model, self.kind)):
            check_empty(model, drawing["guidance_scale"], drawing["steps"])
        branches = draw_branches(
            model,
            {code: intervention(model, code, kind=self.kind) for code in letters},
            *fitting_pairs(model, prompts, seeds),
            **drawing,
            rows=self.rows,
            parts=parts_of(cache, model, replace(self, letters=letters)),
            progress=progress,
        )
        rows, measure = branches.rows(judge), _measure(judge, concept)
        return InterveneFinding(
            summarize(rows),
            model.sites,
            "Interventions",
            rows,
            branches.images,
            steps=drawing["steps"],
            measure=measure,
        )

    @classmethod
    def stops(cls, tour: TourInputs) -> list[Stop]:
        """Sever each layer of attention to the text in each quarter of the steps."""
        labels = [site.label for site in modules_of(tour.model)]
        letters = tuple(f"q{window}:{label}" for label in labels for window in QUARTERS)
        question = "Which layers matter, and when?"
        return [letters_stop("intervene", question, 30, tour, letters, plot=InterveneFinding.plot_grid)]


def letters_stop(
    name: str,
    question: str,
    order: int,
    tour: TourInputs,
    letters: Sequence[str],
    *,
    kind: str = "cross-attention",
    plot: Callable[[InterveneFinding], Figure] = lambda finding: finding.plot(),
) -> Stop:
    """Return the stop that tries letters on the pictures, some at a time, so that one picture's runs fit into a call.

    Args:
        name: Of its folder.
        question: That it answers.
        order: Its place.
        tour: The pictures, and what draws them.
        letters: The interventions.
        kind: Of the modules.
        plot: Of the finding.
    """
    instrument = Intervene(tuple(letters), kind, rows=tour.rows, **tour.drawing)
    parts = _some_letters_each(instrument, runs_at_once(tour.rows, tour.rows_per_picture))
    runs = [[intervention(tour.model, code, kind=kind) for code in part.letters or ()] for part in parts]
    rows = [branch_rows(tour.model, run, len(tour.seeds), **tour.drawing) for run in runs]

    def run(cache: Path | None, progress: Progress | None) -> InterveneFinding:
        findings = [
            part(
                tour.model,
                tour.prompts,
                tour.seeds,
                concept=tour.concept if tour.target else None,
                judge=tour.judge,
                cache=cache,
                progress=part_of_progress(progress, index, len(parts)),
            )
            for index, part in enumerate(parts)
        ]
        return _joined(findings)

    return Stop(name, question, order, sum(rows), instrument, run, plot=plot)


@dataclass(frozen=True, eq=False)
class InterveneFinding(BranchesFinding):
    """What interventions did to pictures.

    Args:
        table: A row for each intervention and measure; see `BranchesFinding`.
        rows: The same for each picture, with prompt and seed.
        images: By letters, "untouched" among them.
        steps: Of the solver, since a window may hold none of them; None where that is not known.
        measure: Which measure the summary and the grid are of, such as "object kept".
    """

    steps: int | None = None
    measure: str = LAYOUT

    def sites(self, top: int = 8) -> Sites:
        """Refuse to name sites: an intervention may be on many modules and a part of the steps.

        Raises:
            BadArgument: Always.
        """
        raise BadArgument(
            "Interventions score letters and no sites: choose a layer, and select it by its label, as in "
            'model.sites.only(kind="cross-attention", label="MID").'
        )

    def bar_name(self, letters: str) -> str:
        """Return the letters, and whether their window holds no step."""
        return f"{letters} (no step)" if self.is_idle(letters) else letters

    def is_idle(self, letters: str) -> bool:
        """Return whether no step is in the letters' window."""
        return self.steps is not None and is_idle(letters, self.steps)

    def is_grid(self) -> bool:
        """Return whether the letters are every window of every layer, layer by layer, by one act, such as q2:MID."""
        windows, layers, acts, pairs = self._axes()
        return len(acts) == 1 and pairs == list(product(layers, windows)) and all(windows) and all(layers)

    def grid(self, measure: str | None = None) -> tuple[list[str], list[str], Float[np.ndarray, "layer window"]]:
        """Return windows, layers, and a measure of each; `measure` is the finding's own by default.

        Raises:
            BadArgument: The letters are not every window of every layer, or of two acts, such as q2:MID and p2:UP1.
        """
        if not self.is_grid():
            raise BadArgument(
                "The interventions are no grid: give every window of every layer, layer by layer, by one of q, o, p "
                "and r, such as q1:MID, q2:MID, q1:UP1, q2:UP1."
            )
        windows, layers, _, _ = self._axes()
        part = self.table.filter((pl.col("measure") == (measure or self.measure)) & (pl.col("letters") != UNTOUCHED))
        return windows, layers, part["value"].to_numpy().reshape(len(layers), len(windows))

    def _axes(self) -> tuple[list[str], list[str], set[str], list[tuple[str, str]]]:
        """Return the windows, layers and acts that the letters name, and the pairs of layer and window in order."""
        letters = [code for code in self.table["letters"].unique(maintain_order=True) if code != UNTOUCHED]
        names = [code[1:].partition(":") for code in letters]
        windows, layers = ([*dict.fromkeys(each)] for each in ([n[0] for n in names], [n[2] for n in names]))
        return windows, layers, {code[0] for code in letters}, [(layer, window) for window, _, layer in names]

    def plot_grid(self, measure: str | None = None) -> Figure:
        """Plot how much of a measure is lost, windows to the right and layers downwards."""
        windows, layers, values = self.grid(measure)
        figure = new_figure(1.9 + 0.75 * len(windows), 1.1 + 0.24 * len(layers))
        axis = figure.subplots()
        lost = 1 - values
        image = axis.imshow(lost, cmap="magma_r", vmin=0, vmax=max(0.05, float(lost.max())), aspect="auto")
        ends = [WINDOWS[window] for window in windows]
        names = [f"{100 * start:.0f}–{100 * stop:.0f} %" for start, stop in ends]
        (act,) = self._axes()[2]
        for column, window in enumerate(windows):
            if self.is_idle(f"{act}{window}"):
                names[column] += "\n(no step)"
                axis.axvspan(column - 0.5, column + 0.5, facecolor="white", edgecolor="#bbbbbb", hatch="///")
        axis.set_xticks(range(len(windows)), names)
        axis.set_yticks(range(len(layers)), layers)
        axis.set(xlabel="part of the steps")
        axis.set_title("one layer severed", fontsize=10)
        figure.colorbar(image, label=_lost(measure or self.measure))
        return figure

    def summary(self) -> str:
        """Say where and when severing changes most, and which part of the steps does so over all layers.

        Where the letters are no grid of windows and layers: under which of them least and most is left.
        """
        if not self.is_grid() or self._axes()[2] != {"q"}:
            return super().summary()
        windows, layers, values = self.grid()
        tried = [number for number, window in enumerate(windows) if not self.is_idle(f"q{window}")]
        windows, lost = [windows[number] for number in tried], 1 - values[:, tried]
        if not tried:
            return "None of the windows holds a step: take more steps."
        if lost.max() <= 0:
            return f"No layer alone, severed in one of the {len(tried)} windows, changes anything here."
        layer, time = np.unravel_index(int(lost.argmax()), lost.shape)
        return (
            "With one layer severed in one part of the steps, "
            f"{self._change(f'q{windows[time]}:{layers[layer]}')} at most: {layers[layer]}, "
            f"{_share_of_steps(windows[time])}. On average over the layers, {_by_window(windows, lost.mean(0))}."
        )

    def main_measure(self) -> str:
        """Return the measure that the summary and the grid are of."""
        return self.measure

    def _change(self, letters: str) -> str:
        """Return how much letters change, with the interval, as text."""
        row = self.table.filter((pl.col("measure") == self.measure) & (pl.col("letters") == letters))
        value, low, high = (percent(1 - row[column][0]) for column in ("value", "high", "low"))
        if self.measure == LAYOUT:
            return f"the layout changes by {value} ({low} to {high})"
        return f"the judge sees something else in {value} ({low} to {high}) of the pictures"


def _by_window(windows: Sequence[str], lost: Float[np.ndarray, " window"]) -> str:
    """Return which part of the steps counts most and which least, where the two differ as they are written."""
    most, least = int(lost.argmax()), int(lost.argmin())
    if percent(lost[most]) == percent(lost[least]):
        return f"all parts of the steps that were tried count alike ({percent(lost[most])})"
    return (
        f"{_share_of_steps(windows[most])} count most ({percent(lost[most])}), and {_share_of_steps(windows[least])} "
        f"least ({percent(lost[least])})"
    )


def _share_of_steps(window: str) -> str:
    start, stop = WINDOWS[window]
    return f"{100 * start:.0f} to {100 * stop:.0f} % of the steps"


def _measure(judge: Judge | None, concept: str | None) -> str:
    """Return the measure that says whether the concept is still there; the layout where no label does."""
    target = sought(judge, concept) if judge and concept else None
    is_label = judge is not None and target is not None and bool(judge.columns[target.column].labels)
    return f"{target.column}{SAME}" if is_label and target else LAYOUT


def _some_letters_each(instrument: Intervene, runs: int) -> list[Intervene]:
    """Return the instrument in parts of some letters each, so that one picture's runs fit into a call."""
    letters = instrument.letters or ()
    return [replace(instrument, letters=letters[some]) for some in batches(len(letters), runs)]


def _joined(findings: Sequence[InterveneFinding]) -> InterveneFinding:
    """Return one finding of several parts that are of the same pictures."""
    first, *others = findings
    new = pl.col("letters") != UNTOUCHED
    return replace(
        first,
        table=pl.concat([first.table, *(each.table.filter(new) for each in others)]),
        rows=pl.concat([first.rows, *(each.rows.filter(new) for each in others)]),
        images={name: images for each in findings for name, images in each.images.items()},
    )


def _lost(measure: str) -> str:
    """Return what a measure's fall is, with its unit."""
    if measure.endswith(SAME):
        return f"{measure.removesuffix(SAME)} lost, share of pictures"
    return "layout lost, 1 − IoU" if measure == LAYOUT else f"1 − {measure}"
