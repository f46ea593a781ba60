"""How a picture comes into being: what changes at each step, which modules change it, and when the words are read."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from turpentine.core.formatting import percent
from turpentine.core.progress import Progress
from turpentine.core.settings import Count, Finite, Settings
from turpentine.explain._codes import modules_of
from turpentine.explain._plots import DARK, hide_axes, new_figure, open_frame, whole_numbers
from turpentine.explain.finding import Finding
from turpentine.explain.stops import Stop, TourInputs
from turpentine.models.call import Call
from turpentine.models.drawing_defaults import drawing_of
from turpentine.models.generate import batches, fitting_pairs
from turpentine.models.hooks import hooked
from turpentine.models.model import Model
from turpentine.models.reading import prompt_tokens
from turpentine.models.sampler import Step, sample
from turpentine.models.site_table import best_sites
from turpentine.models.sites import Site, Sites
from turpentine.stats.intervals import mean_score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

Maps = Float[np.ndarray, "step height width"]
Key = TypeVar("Key", bound=Hashable)

CHANGE, UPDATE, WORDS = "latent change", "update", "word probability"
ALIKE = 1.1
"""Shares of steps that differ by no more than this factor are said to be alike: which is largest is then no news."""
"""What is measured at each step; see `Dynamics`."""

NAMED = 20
"""Curves of modules that have a name in the picture, at most: the colours say the order of the others."""


@dataclass(frozen=True)
class Dynamics(Settings):
    """Show how a picture comes into being: what changes at each step, by which modules, and when the words are read.

    Latent change: |z_t − z_{t−1}|, mean over channels and the picture. Update: |output| of a module on the prompt's
    row, likewise, and of the picture's tokens where those of the text go through the same module. Word probability: the
    probabilities of attention to the text on the prompt's own tokens, without start, end and padding, summed over them,
    mean over pixels, heads and modules; of pictures whose prompt has a word (thesis, section 0.4.2). Those of joint
    attention are its part over the text, made to sum to 1.

    Args:
        kind: Which kind of modules has its updates measured; joint attention in the place of cross-attention.
        steps: DDIM steps of a picture; by default as many as the model's family takes, 20 in the emoji world.
        guidance_scale: How strongly the prompt guides (w); by default as the family takes it, 4 in the emoji world.
        strip: Pictures in the strip of the first picture's coming into being.
        batch_size: Pictures drawn at once.

    Example:
        >>> finding = Dynamics(steps=2)(model, "a church", 0)
        >>> finding.table["measure"].unique(maintain_order=True).to_list()
        ['latent change', 'update', 'word probability']
    """

    name: ClassVar[str] = "dynamics"
    kind: str = "cross-attention"
    steps: Count | None = None
    guidance_scale: Finite | None = None
    strip: Count = 8
    batch_size: Count = 16

    def __call__(
        self,
        model: Model,
        prompts: str | Sequence[str],
        seeds: int | Sequence[int] = range(8),
        *,
        progress: Progress | None = None,
    ) -> DynamicsFinding:
        """Measure the curves over pictures.

        Args:
            model: The model.
            prompts: What to draw; pair up with the seeds as in `Model.generate`.
            seeds: Of the pictures.
            progress: Called with pictures done and in all.

        Raises:
            BadArgument: A prompt that is too long.
            EmptySelection: A kind of modules that the model has not.
        """
        texts, numbers = fitting_pairs(model, prompts, seeds)
        modules, attention = modules_of(model, self.kind), modules_of(model)
        drawing = drawing_of(self, model)
        in_strip, curves, strip = self._strip_steps(drawing["steps"]), _Curves(), list[Image.Image]()
        for rows in batches(len(texts), self.batch_size):
            cond, empty, latents = model.encode(texts[rows]), model.encode([""]), model.noise(numbers[rows])
            recorder = _Recorder(model, texts[rows])
            with hooked(model, {modules: recorder.update}), hooked(model, {attention: recorder.words}):
                for step in sample(model, cond, empty, latents, **drawing):
                    recorder.change(step)
                    if rows.start == 0 and step.index in in_strip:
                        strip += model.decode(step.x_next[:1])
            curves.add(recorder)
            if progress:
                progress(rows.stop, len(texts))
        table, updates = _table(curves.values, model.sites), {name: np.stack(m) for name, m in curves.updates.items()}
        title = "How a picture comes into being"
        return DynamicsFinding(table, model.sites, title, np.stack(curves.changes), updates, strip)

    def _strip_steps(self, steps: int) -> set[int]:
        return {round(at) for at in np.linspace(0, steps - 1, min(self.strip, steps))}

    @classmethod
    def stops(cls, tour: TourInputs) -> list[Stop]:
        """Show how the tour's pictures come into being."""
        instrument = cls(batch_size=tour.batch_size, **tour.drawing)
        return [
            Stop(
                "dynamics",
                "How does the picture come into being?",
                10,
                tour.rows_to_draw,
                instrument,
                lambda _, progress: instrument(tour.model, tour.prompts, tour.seeds, progress=progress),
            )
        ]


class _Recorder:
    """What one batch does; it stays on the device until the run is over, for a fetch waits for the device."""

    def __init__(self, model: Model, prompts: Sequence[str]) -> None:
        self._model, self.prompts = model, prompts
        self._words_at = [prompt_tokens(model, prompt) for prompt in prompts]
        places, wordless = [model.text.find(prompt) for prompt in prompts], model.text.find("")
        self.rows_with_words = [row for row, at in enumerate(places) if at != wordless]
        self.changes: dict[int, Tensor] = {}
        self.updates: dict[tuple[str, int], Tensor] = {}
        self._by_token: dict[tuple[str, int], Tensor] = {}

    def change(self, step: Step) -> None:
        self.changes[step.index] = (step.x_next - step.x).abs().mean(1).float()

    def update(self, call: Call) -> None:
        output = call.tensor[call.rows].detach()
        if output.ndim == 3:
            output = output[:, self._model.family.streams_at(call.site)[0]]
        assert call.moment is not None  # the sampler runs
        mean = output.abs().float().mean(1 if output.ndim == 4 else 2)
        self.updates[call.site.name, call.moment.index] = mean

    def words(self, call: Call) -> None:
        by_token = torch.stack([each.mean(2).sum(1) for _, each in self._model.attention(call)])
        assert call.moment is not None
        self._by_token[call.site.name, call.moment.index] = by_token

    def shares(self) -> dict[int, list[Tensor]]:
        """Return, by step and module, the probability of each row's own words, the mean over pixels and heads."""
        shares: dict[int, list[Tensor]] = defaultdict(list)
        for (name, index), parts in fetched(self._by_token).items():
            attention: Any = self._model.module(name)
            total = torch.zeros(len(self._words_at))
            for by_token in parts:
                total += torch.stack([row[at].sum() for row, at in zip(by_token, self._words_at, strict=True)])
            shares[index].append(total / attention.heads)
        return shares


_Curve: TypeAlias = tuple[str, str, int]
"""Measure, site and step."""


class _Curves:
    """The values of all pictures, each with its prompt, and the first picture's maps."""

    def __init__(self) -> None:
        self.values: dict[_Curve, list[tuple[str, float]]] = defaultdict(list)
        self.changes: list[Maps] = []
        self.updates: dict[str, list[Maps]] = defaultdict(list)

    def add(self, recorder: _Recorder) -> None:
        """Add a batch's pictures."""
        is_first = not self.values
        for index, change in fetched(recorder.changes).items():
            self.values[CHANGE, "", index] += zip(recorder.prompts, change.mean((1, 2)).tolist(), strict=True)
            if is_first:
                self.changes.append(change[0].numpy())
        for (name, index), update in fetched(recorder.updates).items():
            self.values[UPDATE, name, index] += zip(recorder.prompts, update.flatten(1).mean(1).tolist(), strict=True)
            if is_first:
                self.updates[name].append(update[0].numpy())
        with_words = [recorder.prompts[row] for row in recorder.rows_with_words]
        for index, by_module in recorder.shares().items() if with_words else ():
            shares = torch.stack(by_module).mean(0)[recorder.rows_with_words].tolist()
            self.values[WORDS, "", index] += zip(with_words, shares, strict=True)


def fetched(tensors: Mapping[Key, Tensor]) -> dict[Key, Tensor]:
    """Return the same tensors on the CPU, all in one copy."""
    whole = torch.cat([tensor.flatten() for tensor in tensors.values()]).cpu()
    parts = torch.split(whole, [tensor.numel() for tensor in tensors.values()])
    return {key: part.view_as(tensor) for (key, tensor), part in zip(tensors.items(), parts, strict=True)}


@dataclass(frozen=True, eq=False)
class DynamicsFinding(Finding):
    """The curves over the steps, and what the first picture looked like on the way.

    Args:
        table: A row for each measure, site and step: measure ("latent change", "update" or "word probability"), site,
            kind, label (empty but for updates), step, value, low, high over the pictures, n.
        changes: The first picture's maps of latent change.
        updates: Its maps of each module's updates, a row of pixels for each step.
        strip: Its latents decoded on the way.
    """

    changes: Maps
    updates: dict[str, Float[np.ndarray, "step ..."]]
    strip: list[Image.Image]

    def sites(self, top: int = 8) -> Sites:
        """Return the modules with the largest updates, summed over the steps."""
        scored = self._part(UPDATE).select("site", pl.col("value").alias("score"))
        return best_sites(self.everything, scored, top)

    def _part(self, measure: str) -> pl.DataFrame:
        return self.table.filter(pl.col("measure") == measure)

    def summary(self) -> str:
        """Say when half of the change is done, and when the words are read most."""
        change, words = (self._part(measure).sort("step") for measure in (CHANGE, WORDS))
        done = np.cumsum(change["value"].to_numpy())
        half = int(np.searchsorted(done, done[-1] / 2)) + 1
        first = f"Half of all change in the latents is done after {half} of {len(change)} steps."
        if words.is_empty():
            return f"{first} The prompt is empty: there is no word to look at."
        is_cross = any(site.kind == "cross-attention" for site in self.everything)
        attention = "Cross-attention" if is_cross else "Joint attention"
        most, least = words.sort("value").row(-1, named=True), words.sort("value").row(0, named=True)
        if most["value"] <= ALIKE * least["value"]:
            shares = dict.fromkeys((percent(least["value"]), percent(most["value"])))
            share = f"{' to '.join(shares)} of its probability"
            return f"{first} {attention} looks at the prompt's own words alike in all steps, with {share}."
        return (
            f"{first} {attention} looks at the prompt's own words most in step {most['step'] + 1} "
            f"({percent(most['value'])} of its probability) and least in step {least['step'] + 1} "
            f"({percent(least['value'])})."
        )

    def plot(self) -> Figure:
        """Plot the strip and the maps of change above, the three sets of curves below."""
        figure = new_figure(11, 5.6)
        rows = figure.add_gridspec(2, 1, height_ratios=(1.1, 1.6))
        self._plot_strip(figure.add_subfigure(rows[0]))
        axes = figure.add_subfigure(rows[1]).subplots(1, 3)
        for axis, measure in zip(axes, (CHANGE, UPDATE, WORDS), strict=True):
            self._plot_curves(axis, measure)
        lines = axes[1].get_lines()
        named = lines[:: math.ceil(len(lines) / NAMED)]
        axes[1].legend(handles=named, fontsize=6, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        return figure

    def _plot_strip(self, figure: SubFigure) -> None:
        steps = np.linspace(0, len(self.changes) - 1, len(self.strip)).round().astype(int)
        for column, (index, image) in enumerate(zip(steps, self.strip, strict=True)):
            first = figure.add_subplot(2, len(self.strip), column + 1)
            first.imshow(image, interpolation="nearest")
            first.set_title(f"step {index + 1}", fontsize=8)
            second = figure.add_subplot(2, len(self.strip), len(self.strip) + column + 1)
            second.imshow(self.changes[index], cmap="magma", vmin=0, vmax=self.changes.max())
            second.set_title("change", fontsize=8)
            hide_axes((first, second))

    def _plot_curves(self, axis: Axes, measure: str) -> None:
        from matplotlib import colormaps

        curves = [curve for _, curve in self._part(measure).group_by("site", maintain_order=True)]
        for shade, curve in zip(np.linspace(0, 0.95, len(curves)), curves, strict=True):
            colour = colormaps["viridis"](shade) if measure == UPDATE else DARK
            at = curve["step"] + 1
            axis.plot(at, curve["value"], linewidth=1.1, marker=".", color=colour, label=curve["label"][0])
            if measure != UPDATE:
                axis.fill_between(at, curve["low"], curve["high"], color=colour, alpha=0.25)
        axis.set_title(_TITLES[measure] if curves else f"no {measure}: the prompt is empty", fontsize=10)
        axis.set_xlabel("step")
        axis.set_ylabel(_UNITS[measure])
        axis.update_datalim([(1, 0)])
        axis.autoscale_view()
        axis.set_ylim(bottom=0)
        axis.xaxis.set_major_locator(whole_numbers())
        open_frame(axis)


_TITLES: Mapping[str, str] = {CHANGE: "change of the latents", UPDATE: "what each layer adds", WORDS: "words read"}
_UNITS: Mapping[str, str] = {CHANGE: "mean |Δz|", UPDATE: "mean |output|", WORDS: "share of the attention"}


def _table(values: Mapping[_Curve, list[tuple[str, float]]], everything: Sites) -> pl.DataFrame:
    by_name: dict[str, Site] = {site.name: site for site in everything}
    rows = []
    for (measure, name, index), each in sorted(values.items(), key=itemgetter(0)):
        site = by_name.get(name)
        about = (name, site.kind, site.label) if site else ("", "", "")
        mean = mean_score([value for _, value in each], clusters=[(prompt,) for prompt, _ in each])
        rows.append((measure, *about, index, *mean, len(each)))
    names = ["measure", "site", "kind", "label", "step", "value", "low", "high", "n"]
    order = {name: number for number, name in enumerate(by_name)}
    table = pl.DataFrame(rows, names, orient="row")
    return table.sort(
        pl.col("measure"), pl.col("site").replace_strict(order, default=-1), pl.col("step"), maintain_order=True
    )
