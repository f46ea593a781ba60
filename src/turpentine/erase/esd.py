"""Erased Stable Diffusion: fine-tune the denoiser away from a concept (Gandikota et al. 2023, arXiv 2303.07345)."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import mse_loss

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, EmptySelection, UnknownName
from turpentine.core.progress import Progress
from turpentine.edits import Edit, Provenance
from turpentine.erase._training.adam import Adam, train
from turpentine.erase._training.checkpoint import Checkpoint, facts_of
from turpentine.erase._training.fresh import FreshStates
from turpentine.erase._training.masters import Masters
from turpentine.erase._training.meter import Meter
from turpentine.erase._training.states import Batch, Lesson, Predictions, Sampling
from turpentine.erase._training.stored import StoredStates
from turpentine.erase.common import Sized, as_concepts, provenance_of
from turpentine.models import Model, Selection, Sites, check_in_denoiser, selected, window_of
from turpentine.models.site_table import top_sites

SETS: Mapping[str, dict[str, Any]] = {
    "x": {"kind": "cross-attention"},
    "x-strict": {"kind": "cross-attention", "name": ("*.to_k", "*.to_v")},
    "u": {"kind": ("self-attention", "feed-forward", "resnet", "projection", "sampler")},
    "selfattn": {"kind": "self-attention"},
    "all": {},
}
"""The parameter sets of ESD by name, as selections of layers; see `esd_sites`."""


@dataclass(frozen=True)
class ESD(Sized):
    """Fine-tune the denoiser so that, told the concept, it predicts what leads away from it.

    ε̃ = ε*(x_t, ∅) − η·(ε*(x_t, c) − ε*(x_t, ∅)); loss: mean of (ε_θ(x_t, c) − ε̃)² over a batch, minimised by Adam.
    ε* is the frozen model, x_t a partly denoised latent of guided DDIM sampling for the prompt c.

    η is the paper's: 1 mirrors the concept's direction, 0 aims at the empty prompt's prediction. The authors' later
    code writes ε̃ = ε*(x_t, c) − ng·(ε*(x_t, c) − ε*(x_t, ∅)), so that its ng is η + 1: its 2 is the paper's 1.

    With `erase_from` (c_f) an attribute c is taken off something that keeps the rest: x_t is sampled for c_f, the model
    is trained on c_f, and ε̃ = ε*(x_t, c_f) − η·(ε*(x_t, c) − ε*(x_t, ∅)).

    Defaults are the published values for Stable Diffusion 1.4, but for `trajectories`: the authors sample x_t from the
    model in training (`fresh`), which costs about 25 guided sampling steps an update; here x_t and ε̃ are drawn from
    stored trajectories of the frozen model. `ESD.preset` has values for other models.

    sites: which weights: "x" (cross-attention), "x-strict" (its keys and values), "u" (all but it), "selfattn", "all",
        kinds or labels, such as "UP2,UP3", or any selection of the denoiser's sites, also by their names; see
        `esd_sites`.
    eta: η, the strength, 0 or more.
    steps: updates, 1 or more. lr: learning rate of Adam. batch_size: rows of an update.
    trajectories: stored sampling runs for each concept, 1 or more; its prompts take turns. Not used if `fresh`.
    sampling_steps: T, the DDIM steps of a run. guidance_scale: of a run.
    window: the part of the schedule that x_t is drawn from, fractions from 0 (pure noise) to 1. A window of the sites
        narrows it further.
    fresh: sample x_t from the model in training, for each update anew.
    erase_from: what the concept is taken off, as a prompt; by default the concept itself is erased.
    sites_from: a CSV or parquet table of sites with scores, such as an attribution; its top ones stand in the place of
        `sites`; see `turpentine.models.site_table`. top: how many of them, 1 or more.
    seed: of all draws, 0 or more. Update k depends on the seed and k only.
    """

    name: ClassVar[str] = "esd"

    small_world: ClassVar[Mapping[str, Any]] = {
        "eta": 1.5,
        "trajectories": 8,
        "sampling_steps": 20,
        "steps": 200,
        "batch_size": 8,
        "lr": 5e-4,
    }
    """Settings for models of the embedded one's size: 13 million weights learn faster than Stable Diffusion's 860.

    With η = 1 the embedded model still draws the named object in one picture of five to ten.
    """

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {f"esd-{name}": {"sites": name} for name in SETS}
    """The names that papers and the command line use, and what each sets."""

    sites: Selection = "x"
    eta: float = 1.0
    steps: int = 1000
    lr: float = 1e-5
    batch_size: int = 1
    trajectories: int = 20
    sampling_steps: int = 50
    guidance_scale: float = 3.0
    window: tuple[float, float] = (0.0, 1.0)
    fresh: bool = False
    erase_from: str | None = None
    sites_from: str | None = None
    top: int = 10
    seed: int = 0

    @torch.inference_mode(False)
    @torch.enable_grad()
    def __call__(
        self,
        model: Model,
        concept: Concept | Sequence[Concept],
        *,
        progress: Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Edit:
        """Erase one concept, or several in one run; the model itself is left as it is, and the edit is returned.

        The denoiser sees 2·T·n rows for n trajectories of T steps, then `batch_size` rows forward and backward for each
        update. Edits that are on the model stay on: the frozen model is the model as it is.

        progress: called with rows of the denoiser done and in all, a row of an update counted three times for its
        backward pass. checkpoint: a folder to keep the state in, every 15 seconds and on Ctrl-C; the same call with it
        goes on to the same edit, bit by bit. It stays until `turpentine.core.tensors.discard` removes it.
        Raises BadArgument, BadWindow, EmptySelection or UnknownName for settings before any work; NotFinite, naming the
        weight and the update; KeyboardInterrupt, saying how to go on.
        """
        if self.sites_from is not None:
            return self._located(model)(model, concept, progress=progress, checkpoint=checkpoint)
        concepts = as_concepts(concept, model)
        sampling = self._sampling(model)
        masters = Masters(model, self._weights(model))
        provenance = self._provenance(model, concepts)
        kept = Checkpoint(checkpoint, facts_of(model, provenance))
        lesson = self._lesson(concepts)
        meter = self._meter(lesson, progress)
        states = self._states(model, lesson, sampling, masters, kept, meter)
        train(
            Adam(masters, self.lr, model.dtype),
            lambda update: self._loss(model, masters, states.batch(update, self.batch_size)),
            updates=self.steps,
            checkpoint=kept,
            after_update=meter.updated,
        )
        return Edit(masters.deltas(), provenance)

    def target(self, start: Predictions, concept: Predictions, uncond: Predictions) -> Predictions:
        """ε̃ = start − η·(ε*(x, c) − ε*(x, ∅)); start is ε*(x, ∅), or ε*(x, c_f) with `erase_from`."""
        return start - self.eta * (concept - uncond)

    def _located(self, model: Model) -> ESD:
        """The same with the sites that the table puts first: they decide the edit, not where the table lies."""
        assert self.sites_from is not None
        return replace(self, sites=top_sites(model.sites, self.sites_from, self.top), sites_from=None)

    def _loss(self, model: Model, masters: Masters, batch: Batch) -> Float[Tensor, ""]:
        """Mean of (ε_θ(x_t, c) − ε̃)², in fp32."""
        eps = model.eps(batch.x, batch.t, batch.cond, parameters=masters.cast())
        return mse_loss(eps.float(), batch.target.float())

    def _lesson(self, concepts: tuple[Concept, ...]) -> Lesson:
        """As many rows for each concept; its prompts take turns."""
        # A row of fresh states is a prompt only: as many as give each prompt of a concept its equal share.
        rows = math.lcm(*(len(one.prompts) for one in concepts)) if self.fresh else self.trajectories
        prompts = tuple(one.prompts[row % len(one.prompts)] for one in concepts for row in range(rows))
        taught = prompts if self.erase_from is None else (self.erase_from,) * len(prompts)
        return Lesson(prompts, taught, self.target, is_from=self.erase_from is not None)

    def _states(
        self, model: Model, lesson: Lesson, sampling: Sampling, masters: Masters, kept: Checkpoint, meter: Meter
    ) -> StoredStates | FreshStates:
        if self.fresh:
            return FreshStates(model, lesson, sampling, masters)
        return StoredStates(model, lesson, sampling, kept, meter.sampled)

    def _meter(self, lesson: Lesson, progress: Progress | None) -> Meter:
        predictions = 3 if lesson.is_from else 2
        sampled = 0 if self.fresh else predictions * self.sampling_steps * len(lesson)
        return Meter(progress, sampled, self.batch_size, self.steps)

    def _sampling(self, model: Model) -> Sampling:
        """The settings checked: numbers, then the window."""
        _check_settings(self)
        steps = window_of(self.window, self.sites).counted(self.sampling_steps)
        return Sampling(self.sampling_steps, self.guidance_scale, steps, self.seed)

    def _weights(self, model: Model) -> tuple[str, ...]:
        sites = esd_sites(model, self.sites)
        names = sites.parameters()
        if not names:
            raise EmptySelection(f"{sites} holds no weight to train: select linear or convolution layers.")
        check_in_denoiser(sites)
        return names

    def _provenance(self, model: Model, concepts: tuple[Concept, ...]) -> Provenance:
        # The names of sites say nothing of their window, so that it counts as the settings' own.
        return provenance_of(self, model, concepts, window=astuple(window_of(self.window, self.sites)))


def esd_sites(model: Model, sites: Selection) -> Sites:
    """A parameter set of ESD by name, as layers of the denoiser; anything else as `models.selected` has it.

    x: all linears of cross-attention (`attn2`). x-strict: those of its keys and values. selfattn: all linears of
    self-attention (`attn1`). u: every linear and convolution outside of cross-attention, the time projections inside
    the resnets among them, but no norm, no time embedding, and neither the first nor the last convolution. all:
    everything, norms too.
    Raises UnknownName, which lists the sets and what else there is.
    """
    if isinstance(sites, str) and sites in SETS:
        return model.sites.only(level="layer", name="unet.*").only(**SETS[sites])
    try:
        return selected(model.sites, sites)
    except EmptySelection as error:
        raise UnknownName(f"ESD has no parameter set {sites!r}: there are {', '.join(SETS)}. {error}") from error


def _check_settings(settings: ESD) -> None:
    for name in ("steps", "batch_size", "trajectories", "sampling_steps"):
        if getattr(settings, name) < 1:
            raise BadArgument(f"{name} is {getattr(settings, name)}: give 1 or more.")
    for name in ("eta", "guidance_scale", "lr"):
        if not math.isfinite(getattr(settings, name)):
            raise BadArgument(f"{name} is {getattr(settings, name)}: give a finite number.")
    if settings.lr <= 0 or settings.seed < 0:
        raise BadArgument(f"lr is {settings.lr} and seed is {settings.seed}: give a rate above 0 and a seed from 0.")
    if settings.erase_from is not None and not settings.erase_from.strip():
        raise BadArgument("erase_from is empty: give the prompt that the concept is taken off, or leave it out.")
