"""Causal tracing: the subject's tokens drowned in noise, one component at a time given back (Basu 2023, section 3).

Three kinds of runs from the same latents: clean; corrupted, where the subject's token embeddings are noise; and
restored, which is corrupted with one component's output taken from the clean run. What a restored picture regains of
what the corrupted one lost is the component's indirect effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import polars as pl
import torch
from jaxtyping import Shaped
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from turpentine.core.errors import BadArgument
from turpentine.core.progress import Progress
from turpentine.explain.cache import parts_of
from turpentine.explain.finding import Finding
from turpentine.judges.base import Judge, column_of, hits, label_of
from turpentine.models.branches import Intervention, run_branches, runs_at_once
from turpentine.models.conditioning import Conditioning
from turpentine.models.generate import batches, fitting_pairs
from turpentine.models.hooks import After, Call, hooked, record
from turpentine.models.model import Model
from turpentine.models.sampler import rows_in_a_step
from turpentine.models.site_table import short_names
from turpentine.models.sites import Site, Sites
from turpentine.models.text import Places
from turpentine.stats.intervals import Difference, Estimate, Rate, mean_score, paired_bootstrap, paired_means

Scores: TypeAlias = Shaped[np.ndarray, " picture"]
"""Numbers, or of a label whether each picture is a hit."""

KINDS: Mapping[str, tuple[str, ...]] = {
    "denoiser": ("resnet", "self-attention", "cross-attention", "feed-forward"),
    "text": ("text-attention", "text-mlp"),
}
"""What is restored, a module at a time: the denoiser's in all steps, the text encoder's at the subject's last token."""


@dataclass(frozen=True)
class Trace:
    """Which components carry a subject to the picture.

    where: "denoiser" or "text". column: of the judge that scores a picture; a number as it is, of a label whether it is
    what was wanted; where the judge has COLUMN_also, either is a hit. noise: of the subject's embeddings, in standard
    deviations of the encoder's own. steps: of DDIM. guidance_scale: w. rows: of the denoiser in a call, at most; memory
    grows with it. seed: of the embeddings' noise.
    """

    where: Literal["denoiser", "text"] = "denoiser"
    column: str = "object"
    noise: float = 3.0
    steps: int = 20
    guidance_scale: float = 4.0
    rows: int = 256
    seed: int = 0

    def __call__(
        self,
        model: Model,
        prompts: str | Sequence[str],
        seeds: int | Sequence[int],
        *,
        subject: str | Sequence[str],
        judge: Judge,
        wanted: str | Sequence[str] | None = None,
        keep: Path | None = None,
        progress: Progress | None = None,
    ) -> Traced:
        """The indirect effect of each component on pictures of prompts and seeds, which pair up as in `Model.generate`.

        subject: words of each prompt, or one for all. judge: has the column. wanted: what a label should be, or what
        the judge is told as the prompt, for each prompt or for all; by default the subject, or the label it names.
        The clean, the corrupted and all restored runs of a picture share calls of the denoiser; a run of the denoiser
        for each component. keep: a folder for each picture's scores, from which a run that was broken off goes on.
        progress: called with pictures done and in all.
        Raises BadArgument for settings out of range, a prompt that is too long, or what is no label of the judge's;
        UnknownName for a column that the judge has not, EmptyConcept for a subject that is not in its prompt.
        """
        if not self.noise > 0:
            raise BadArgument(f"Noise of {self.noise} standard deviations corrupts nothing: give more than 0.")
        texts, numbers = fitting_pairs(model, prompts, seeds)
        subjects = _each(subject, texts, "subjects")
        for text, about in dict.fromkeys(zip(texts, subjects, strict=True)):
            model.text.find(text, about)
        goals = self._goals(judge, wanted or subject, texts)
        told = _Told(model, self.noise, self.seed)
        components = self.components(model)
        scores: list[Scores] = []
        kept = parts_of(keep, model, self, judge)

        def score(text: str, number: int, about: str, goal: str) -> dict[str, Tensor]:
            clean, corrupted, interventions = self._runs(model, told, components, text, about, number)
            images = self._images(model, clean, [corrupted, *interventions], number)
            return {"scores": torch.from_numpy(self._scored(judge, images, goal))}

        for index, asked in enumerate(zip(texts, numbers, subjects, goals, strict=True)):
            scores.append(kept.part(asked, partial(score, *asked))["scores"].numpy())
            if progress:
                progress(index + 1, len(texts))
        return _traced(self, model, components, np.stack(scores), subjects)

    def _goals(self, judge: Judge, wanted: str | Sequence[str], texts: Sequence[str]) -> list[str]:
        """What each picture should be, as the judge calls it."""
        goals = _each(wanted, texts, "wanted")
        if column_of(judge, self.column).is_number:
            return goals
        return [label_of(judge, self.column, goal) for goal in goals]

    def components(self, model: Model) -> list[Site]:
        """What is restored, one after the other."""
        return [site for site in model.sites if site.kind in KINDS[self.where] and site.level == "module"]

    def _runs(
        self, model: Model, told: _Told, components: Sequence[Site], text: str, subject: str, number: int
    ) -> tuple[Conditioning, Intervention, list[Intervention]]:
        clean = model.encode([text])
        corrupted = told.corrupted(text, subject, number)
        if self.where == "denoiser":
            return clean, Intervention(told=corrupted), [Intervention(told=corrupted, copied=one) for one in components]
        restored = [Intervention(told=told.restored(text, subject, number, site)) for site in components]
        return clean, Intervention(told=corrupted), restored

    def _images(
        self, model: Model, clean: Conditioning, runs: Sequence[Intervention], number: int
    ) -> list[Image.Image]:
        """Of the clean run, the corrupted one, and each restored one."""
        found: list[Image.Image] = []
        for some in batches(len(runs), runs_at_once(self.rows, rows_in_a_step(model, self.guidance_scale, self.steps))):
            untouched, latents = run_branches(
                model,
                runs[some],
                clean,
                model.encode([""]),
                model.noise([number]),
                steps=self.steps,
                guidance_scale=self.guidance_scale,
            )
            found += model.decode(torch.cat([*([] if found else [untouched]), *latents]))
        return found

    def _scored(self, judge: Judge, images: Sequence[Image.Image], wanted: str) -> Scores:
        told = [wanted] * len(images)
        if judge.columns[self.column].is_number:
            return judge(images, prompts=told)[self.column].to_numpy().astype(np.float64)
        return np.asarray(hits(judge, self.column, images, told))


class _Told:
    """Prompts as the denoiser is told them, with the subject corrupted, and with one component of that restored."""

    def __init__(self, model: Model, noise: float, seed: int) -> None:
        self.model, self.noise, self.seed = model, noise, seed
        self.embeddings = model.sites.only(kind="text-embedding", level="layer", name="*token_embedding")

    def corrupted(
        self, text: str, subject: str, number: int, extra: Mapping[Site | Sites, After] | None = None
    ) -> Conditioning:
        """The subject's embeddings are noise, which depends on the seeds alone; `extra` functions act as well."""
        spoilt: dict[Site | Sites, After] = {site: self._spoil(site, text, subject, number) for site in self.embeddings}
        with hooked(self.model, {**spoilt, **(extra or {})}):
            return self.model.encode([text])

    def restored(self, text: str, subject: str, number: int, site: Site) -> Conditioning:
        """`site` gives at the subject's last token what it gives for the true text."""
        with record(self.model, site) as clean:
            self.model.encode([text])
        (kept,) = clean.outputs[site.name]
        last = self._places(site, text, subject).last

        def give_back(call: Call) -> Any:
            tensor = call.tensor.clone()
            tensor[:, last] = kept[:, last]
            return call.with_tensor(tensor)

        return self.corrupted(text, subject, number, {site: give_back})

    def _spoil(self, site: Site, text: str, subject: str, number: int) -> After:
        subject_at = list(self._places(site, text, subject).subject)
        scale = self.noise * self.model.parameter(f"{site.name}.weight").float().std().item()

        def spoil(call: Call) -> Tensor:
            tensor = call.tensor.clone()
            drawn = np.random.default_rng((self.seed, number)).normal(0, scale, (len(subject_at), tensor.shape[-1]))
            tensor[:, subject_at] = torch.from_numpy(drawn).to(tensor)
            return tensor

        return spoil

    def _places(self, site: Site, text: str, subject: str) -> Places:
        return self.model.text.find(text, subject, encoder=site.component)


@dataclass(frozen=True, eq=False)
class Traced(Finding):
    """The indirect effects.

    table: a row for each component in order of execution: site, kind, label, effect (the mean of restored − corrupted),
    low, high, restored (the mean score), n. clean, corrupted: the mean scores of these runs; of a label, the rates of
    what was wanted.
    """

    clean: Estimate | Rate
    corrupted: Estimate | Rate

    def plot(self) -> Figure:
        """A panel for each kind: the effect of its components in order of execution, with its interval as a band."""
        kinds, names = self.table["kind"].unique(maintain_order=True).to_list(), short_names(self.table)
        widths = [max(3.1, 1 + 0.13 * (self.table["kind"] == kind).sum()) for kind in kinds]
        figure = Figure(figsize=(sum(widths), 2.9), layout="constrained")
        axes = figure.subplots(1, len(kinds), sharey=True, squeeze=False, width_ratios=widths)[0]
        for axis, kind in zip(axes, kinds, strict=True):
            part = self.table.filter(pl.col("kind") == kind)
            at = np.arange(len(part))
            axis.axhline(0, color="#999999", linewidth=0.8)
            axis.axhline(self.clean.value - self.corrupted.value, color="#999999", linewidth=0.8, linestyle=":")
            axis.fill_between(at, part["low"], part["high"], color="#c9d6e8")
            axis.plot(at, part["effect"], color="#1f4e8c", marker=".")
            axis.set_xticks(at, [names[site] for site in part["site"]], rotation=90, fontsize=7)
            axis.set_title(kind, fontsize=10)
            axis.margins(x=0.03)
            axis.spines[["top", "right"]].set_visible(False)
        figure.supylabel("indirect effect", fontsize=10)
        figure.suptitle(self.title, fontsize=11, parse_math=False)
        return figure


def _traced(
    asked: Trace,
    model: Model,
    components: Sequence[Site],
    scores: Shaped[np.ndarray, "pair run"],
    subjects: Sequence[str],
) -> Traced:
    corrupted = scores[:, 1]
    rows = []
    for site, restored in zip(components, scores[:, 2:].T, strict=True):
        effect = _change(corrupted, restored)
        rows.append((site.name, site.kind, site.label, *effect, float(restored.mean()), len(restored)))
    table = pl.DataFrame(rows, ["site", "kind", "label", "effect", "low", "high", "restored", "n"], orient="row")
    named = ", ".join(dict.fromkeys(subjects))
    network = "denoiser" if asked.where == "denoiser" else "text encoder"
    title = f"{named if len(named) < 60 else asked.column}: {network}"
    return Traced(table, model.sites, title, _mean(scores[:, 0]), _mean(corrupted))


def _mean(scores: Scores) -> Estimate | Rate:
    if scores.dtype != bool:
        return mean_score(scores.tolist())
    rate = Rate.of(scores.tolist())
    assert rate is not None  # there is a picture at least
    return rate


def _change(before: Scores, after: Scores) -> Difference:
    change = paired_bootstrap if before.dtype == bool else paired_means
    return change(before.tolist(), after.tolist())


def _each(given: str | Sequence[str], texts: Sequence[str], what: str) -> list[str]:
    found = [given] * len(texts) if isinstance(given, str) else list(given)
    if len(found) != len(texts):
        raise BadArgument(f"{len(found)} {what} and {len(texts)} pictures do not pair up: give one, or as many.")
    return found
