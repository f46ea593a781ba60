"""Causal tracing: the subject's tokens drowned in noise, one component at a time given back (Basu 2023, section 3).

Three kinds of runs from the same latents: clean; corrupted, where the subject's token embeddings are noise; and
restored, which is corrupted with one component's output taken from the clean run. What a restored picture regains of
what the corrupted one lost is the component's indirect effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np
import polars as pl
import torch
from jaxtyping import Shaped
from PIL import Image
from torch import Tensor

from turpentine.core.errors import BadArgument
from turpentine.core.progress import Progress
from turpentine.core.settings import Count, Finite, Positive, Seed, Settings
from turpentine.explain._columns import judged_column
from turpentine.explain._plots import BAND, DARK, GREY, new_figure, open_frame
from turpentine.explain.cache import parts_of
from turpentine.explain.finding import Finding
from turpentine.explain.stops import Stop, TourInputs
from turpentine.judges.base import Judge, column_of, hits, label_of
from turpentine.judges.worlds import check_judge_of
from turpentine.models.branches import Intervention, run_branches, runs_at_once
from turpentine.models.call import Call
from turpentine.models.conditioning import Conditioning
from turpentine.models.drawing_defaults import drawing_of
from turpentine.models.generate import batches, fitting_pairs
from turpentine.models.hooks import After, hooked, record
from turpentine.models.model import Model
from turpentine.models.sampler import rows_in_a_step
from turpentine.models.site_table import short_names
from turpentine.models.sites import Site, Sites
from turpentine.models.text import Places
from turpentine.stats.clusters import Clusters
from turpentine.stats.intervals import Difference, Estimate, Rate, mean_score, paired_bootstrap, paired_means

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Scores: TypeAlias = Shaped[np.ndarray, " picture"]
"""Numbers, or of a label whether each picture is a hit."""

Where: TypeAlias = Literal["denoiser", "text"]

KINDS: Mapping[Where, tuple[str, ...]] = {
    "denoiser": ("resnet", "self-attention", "cross-attention", "joint-attention", "feed-forward"),
    "text": ("text-attention", "text-mlp"),
}
"""What is restored, a module at a time: the denoiser's in all steps, the text encoder's at the subject's last token."""


@dataclass(frozen=True)
class Trace(Settings):
    """Find what carries a concept to the picture: drown its words in noise, and give back one component at a time.

    The effect of a component is the mean of restored − corrupted over the pictures (Basu 2023, section 3). `erase`
    takes the table as --sites-from.

    Args:
        where: Which components are restored: those of the denoiser, or of the text encoder.
        column: The judge's column: a number counts as it is, a label if it is the concept's; where the judge has
            COLUMN_also, either is a hit. By default the label that the concept is one of, or else the judge's first
            column.
        noise: How much noise drowns the concept's embeddings, in standard deviations of the encoder's own.
        steps: DDIM steps of a picture; by default as many as the model's family takes, 20 in the emoji world.
        guidance_scale: How strongly the prompt guides (w); by default as the family takes it, 4 in the emoji world.
        rows: Rows of the denoiser in one call; fewer take less memory.
        seed: Seed of the embeddings' noise.

    Example:
        >>> import turpentine as tp
        >>> model, judge = tp.load(), tp.judges.EmojiJudge()
        >>> trace = Trace(where="text", steps=1)
        >>> finding = trace(model, "a church", 0, concept="church", judge=judge)
        >>> finding.table.columns[:4]
        ['site', 'kind', 'label', 'effect']
    """

    name: ClassVar[str] = "trace"
    where: Where = "denoiser"
    column: str | None = None
    noise: Positive = 3.0
    steps: Count | None = None
    guidance_scale: Finite | None = None
    rows: Count = 256
    seed: Seed = 0

    def __call__(
        self,
        model: Model,
        prompts: str | Sequence[str],
        seeds: int | Sequence[int] = range(8),
        *,
        concept: str | Sequence[str],
        judge: Judge,
        label: str | Sequence[str] | None = None,
        cache: Path | None = None,
        progress: Progress | None = None,
    ) -> TraceFinding:
        """Measure the indirect effect of each component.

        The clean, the corrupted and all restored runs of a picture share calls of the denoiser; a run of the denoiser
        for each component.

        Args:
            model: The model.
            prompts: What to draw; pair up with the seeds as in `Model.generate`.
            seeds: Of the pictures.
            concept: Words of the prompts that the question is about, one text for all or one for each
                picture.
            judge: Has the column.
            label: The judge's label for the concept: what the column should be, or what the judge is given as the
                prompt, one for all or one for each picture; by default the concept, or the label that it names.
            cache: The folder for each picture's scores, from which an interrupted run goes on.
            progress: Called with pictures done and in all.

        Raises:
            BadArgument: A prompt that is too long, or a label that is none of the judge's.
            UnknownName: A column that the judge has not.
            EmptyConcept: A concept that is not in its prompt.
        """
        check_judge_of(model, judge)
        texts, numbers = fitting_pairs(model, prompts, seeds)
        concepts = _one_each(concept, texts, "concepts")
        for text, words in dict.fromkeys(zip(texts, concepts, strict=True)):
            model.text.find(text, words)
        first = _one_each(label or concept, texts, "labels")[0]
        settings = replace(self, column=self.column or judged_column(judge, first))
        labels = settings._labels(judge, label or concept, texts)
        picture = _PictureTrace(settings, model, judge, settings.components(model))
        parts = parts_of(cache, model, settings, judge)
        scores: list[Scores] = []
        for index, key in enumerate(zip(texts, numbers, concepts, labels, strict=True)):
            scores.append(parts.part(key, partial(picture.scores, *key))["scores"].numpy())
            if progress:
                progress(index + 1, len(texts))
        return _finding(settings, model, picture.components, np.stack(scores), concepts, [(text,) for text in texts])

    def _labels(self, judge: Judge, labels: str | Sequence[str], texts: Sequence[str]) -> list[str]:
        """Return the label of the judge that each picture should have."""
        each = _one_each(labels, texts, "labels")
        if column_of(judge, str(self.column)).is_number:
            return each
        return [label_of(judge, str(self.column), one) for one in each]

    def components(self, model: Model) -> list[Site]:
        """Return the modules that are restored, one after the other."""
        return [site for site in model.sites if site.kind in KINDS[self.where] and site.level == "module"]

    @classmethod
    def stops(cls, tour: TourInputs) -> list[Stop]:
        """Trace through the denoiser and the text encoder, if a judge can say whether a picture shows the concept."""
        if tour.judge is None or tour.target is None or tour.concept is None:
            return []
        column, label = tour.target
        concepts, labels = ([each] * len(tour.seeds) for each in (tour.concept, label))
        return [trace_stop(where, tour, concepts, labels, column) for where in KINDS]


def trace_stop(
    where: Where, tour: TourInputs, concepts: Sequence[str], labels: Sequence[str], column: str, order: int = 40
) -> Stop:
    """Return the stop that traces concepts, words of each prompt, by their labels in a column of the tour's judge."""
    instrument = Trace(where, column, rows=tour.rows, **tour.drawing)
    components = len(instrument.components(tour.model))
    calls = len(list(batches(1 + components, runs_at_once(tour.rows, tour.rows_per_picture))))

    def run(cache: Path | None, progress: Progress | None) -> TraceFinding:
        assert tour.judge is not None  # without one there is no stop
        about: dict[str, Any] = {"concept": concepts, "judge": tour.judge, "label": labels}
        return instrument(tour.model, tour.prompts, tour.seeds, **about, cache=cache, progress=progress)

    first, *others = dict.fromkeys(concepts)
    named = f"“{first}” and {len(others)} more" if others else f"“{first}”"
    question = f"What carries {named} through the {'denoiser' if where == 'denoiser' else 'text encoder'}?"
    rows = (calls + 1 + components) * tour.rows_to_draw
    return Stop(f"trace-{where}", question, order, rows, instrument, run)


@dataclass(frozen=True)
class _PictureTrace:
    """The scores of one picture's runs."""

    settings: Trace
    model: Model
    judge: Judge
    components: list[Site]

    def scores(self, text: str, seed: int, concept: str, label: str) -> dict[str, Tensor]:
        """Return the scores of the clean run, the corrupted one, and each restored one."""
        prompts = _CorruptedPrompts(self.model, self.settings.noise, self.settings.seed)
        corrupted = prompts.corrupted(text, concept, seed)
        if self.settings.where == "denoiser":
            restored = [Intervention(cond=corrupted, copied=one) for one in self.components]
        else:
            restored = [Intervention(cond=prompts.restored(text, concept, seed, one)) for one in self.components]
        images = self._images(self.model.encode([text]), [Intervention(cond=corrupted), *restored], seed)
        return {"scores": torch.from_numpy(self._judged(images, label))}

    def _images(self, clean: Conditioning, runs: Sequence[Intervention], seed: int) -> list[Image.Image]:
        model, images = self.model, list[Image.Image]()
        drawing = drawing_of(self.settings, model)
        each = rows_in_a_step(model, drawing["guidance_scale"], drawing["steps"])
        for some in batches(len(runs), runs_at_once(self.settings.rows, each)):
            empty, noise = model.encode([""]), model.noise([seed])
            untouched, latents = run_branches(model, runs[some], clean, empty, noise, **drawing)
            images += model.decode(torch.cat([*([] if images else [untouched]), *latents]))
        return images

    def _judged(self, images: Sequence[Image.Image], label: str) -> Scores:
        column, prompts = str(self.settings.column), [label] * len(images)
        if self.judge.columns[column].is_number:
            return self.judge(images, prompts=prompts)[column].to_numpy().astype(np.float64)
        return np.asarray(hits(self.judge, column, images, prompts))


class _CorruptedPrompts:
    """Prompts as the denoiser reads them, with the subject corrupted, and with one component of that restored."""

    def __init__(self, model: Model, noise: float, seed: int) -> None:
        self.model, self.noise, self.seed = model, noise, seed
        self.embeddings = model.sites.only(
            kind="text-embedding", level="layer", name=("*token_embedding", "*embed_tokens")
        )

    def corrupted(
        self, text: str, subject: str, number: int, extra: Mapping[Site | Sites, After] | None = None
    ) -> Conditioning:
        """Return prompts whose subject's embeddings are noise, from the seed alone; `extra` functions act as well."""
        noisy: dict[Site | Sites, After] = {
            site: self._corrupt(site, text, subject, number) for site in self.embeddings
        }
        with hooked(self.model, {**noisy, **(extra or {})}):
            return self.model.encode([text])

    def restored(self, text: str, subject: str, number: int, site: Site) -> Conditioning:
        """Return the corrupted prompt with one site restored at the subject's last token."""
        with record(self.model, site) as clean:
            self.model.encode([text])
        (output,) = clean.outputs[site.name]
        last = self._places(site, text, subject).last

        def restore(call: Call) -> Any:
            tensor = call.tensor.clone()
            tensor[:, last] = output[:, last]
            return call.with_tensor(tensor)

        return self.corrupted(text, subject, number, {site: restore})

    def _corrupt(self, site: Site, text: str, subject: str, number: int) -> After:
        subject_at = list(self._places(site, text, subject).subject)
        scale = self.noise * self.model.parameter(f"{site.name}.weight").float().std().item()

        def corrupt(call: Call) -> Tensor:
            tensor = call.tensor.clone()
            noise = np.random.default_rng((self.seed, number)).normal(0, scale, (len(subject_at), tensor.shape[-1]))
            tensor[:, subject_at] = torch.from_numpy(noise).to(tensor)
            return tensor

        return corrupt

    def _places(self, site: Site, text: str, subject: str) -> Places:
        return self.model.text.find(text, subject, encoder=site.component)


@dataclass(frozen=True, eq=False)
class TraceFinding(Finding):
    """The indirect effects of components.

    Args:
        table: A row for each component in order of execution: site, kind, label, effect (the mean of restored −
            corrupted), low, high, restored (the mean score), n.
        clean: The mean score of the clean run; of a label, the rate of pictures that have it.
        corrupted: The same of the corrupted run.
        concept: The words that were corrupted.
    """

    clean: Estimate | Rate
    corrupted: Estimate | Rate
    concept: str = ""

    def plot(self) -> Figure:
        """Plot a panel for each kind: its components' effects in order of execution, with the interval as a band."""
        kinds = self.table["kind"].unique(maintain_order=True).to_list()
        widths = [max(3.1, 1 + 0.13 * (self.table["kind"] == kind).sum()) for kind in kinds]
        figure = new_figure(sum(widths), 2.9)
        axes = figure.subplots(1, len(kinds), sharey=True, squeeze=False, width_ratios=widths)[0]
        for axis, kind in zip(axes, kinds, strict=True):
            self._plot_kind(axis, kind)
        figure.supylabel("effect on the judge's score", fontsize=10)
        figure.suptitle(self.title, fontsize=11, parse_math=False)
        return figure

    def _plot_kind(self, axis: Axes, kind: str) -> None:
        part, names = self.table.filter(pl.col("kind") == kind), short_names(self.table)
        at = np.arange(len(part))
        axis.axhline(0, color=GREY, linewidth=0.8)
        axis.axhline(self.clean.value - self.corrupted.value, color=GREY, linewidth=0.8, linestyle=":")
        axis.fill_between(at, part["low"], part["high"], color=BAND)
        axis.plot(at, part["effect"], color=DARK, marker=".")
        axis.set_xticks(at, [names[site] for site in part["site"]], rotation=90, fontsize=7)
        axis.set_title(kind, fontsize=10)
        axis.margins(x=0.03)
        open_frame(axis)

    def summary(self) -> str:
        """Say what drowning the words costs, and which components give most of that back."""
        if self.clean.value <= 0:
            return f"The judge sees no “{self.concept}” in these pictures as they are: there is nothing to lose."
        if self.clean.value - self.corrupted.value <= 0:
            return (
                f"Noise in the place of “{self.concept}” costs the picture nothing here, so that nothing can be given "
                "back."
            )
        ranked = self.table.sort("effect", descending=True)
        best, second = ranked.row(0, named=True), ranked.row(1, named=True)
        scores = (
            f"The judge's score falls from {self.clean.value:.2f} to {self.corrupted.value:.2f} with noise in the "
            f"place of “{self.concept}”. "
        )
        if best["low"] <= 0:
            return f"{scores}No component alone gives back more than chance might."
        return (
            f"{scores}Given back alone, {self._name(best)} raises it by {best['effect']:.2f} "
            f"({best['low']:.2f} to {best['high']:.2f}), {self._name(second)} by {second['effect']:.2f}."
        )

    def _name(self, row: Mapping[str, object]) -> str:
        """Return a component's label, or where it has none its number among those of its kind."""
        name = short_names(self.table)[str(row["site"])]
        return f"the {row['kind']} of {name}" if row["label"] else f"{row['kind']} {name}"


def _finding(
    settings: Trace,
    model: Model,
    components: Sequence[Site],
    scores: Shaped[np.ndarray, "pair run"],
    concepts: Sequence[str],
    clusters: Clusters,
) -> TraceFinding:
    corrupted = scores[:, 1]
    rows = []
    for site, restored in zip(components, scores[:, 2:].T, strict=True):
        effect = _change(corrupted, restored, clusters)
        rows.append((site.name, site.kind, site.label, *effect, float(restored.mean()), len(restored)))
    table = pl.DataFrame(rows, ["site", "kind", "label", "effect", "low", "high", "restored", "n"], orient="row")
    names = ", ".join(dict.fromkeys(concepts))
    network = "denoiser" if settings.where == "denoiser" else "text encoder"
    title = f"{names if len(names) < 60 else settings.column}: {network}"
    return TraceFinding(table, model.sites, title, _mean(scores[:, 0], clusters), _mean(corrupted, clusters), names)


def _mean(scores: Scores, clusters: Clusters) -> Estimate | Rate:
    if scores.dtype != bool:
        return mean_score(scores.tolist(), clusters=clusters)
    rate = Rate.of(scores.tolist(), clusters)
    assert rate is not None  # there is a picture at least
    return rate


def _change(before: Scores, after: Scores, clusters: Clusters) -> Difference:
    change = paired_bootstrap if before.dtype == bool else paired_means
    return change(before.tolist(), after.tolist(), clusters=clusters)


def _one_each(values: str | Sequence[str], texts: Sequence[str], name: str) -> list[str]:
    """Return a value for each picture.

    Args:
        values: One for all, or one for each.
        texts: The prompts, one for each picture.
        name: Of the values in the message, in the plural.

    Raises:
        BadArgument: There is another number of them than of pictures.
    """
    each = [values] * len(texts) if isinstance(values, str) else list(values)
    if len(each) != len(texts):
        raise BadArgument(f"{len(each)} {name} and {len(texts)} pictures do not pair up: give one, or as many.")
    return each
