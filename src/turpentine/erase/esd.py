"""Erased Stable Diffusion: fine-tune the denoiser away from a concept (Gandikota et al. 2023, arXiv 2303.07345)."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from turpentine.concepts import Concept, Concepts
from turpentine.core.errors import BadArgument, EmptySelection, UnknownName
from turpentine.core.progress import Progress, Tracker
from turpentine.core.settings import Count, Finite, Fraction, NonNegative, Positive, Seed, Text
from turpentine.edits import Provenance
from turpentine.erase._captions import Captions, caption_pairs_of
from turpentine.erase.common import Loss, Sized, as_concepts, checkpoint_of, provenance_of, torch_mode
from turpentine.models import DENOISER, READS_TEXT, Selection, Sites, check_in_denoiser, selected, window_of

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from turpentine.core.parts import Parts, Tensors
    from turpentine.edits import Edit
    from turpentine.emoji.prompts import CaptionPair
    from turpentine.erase._training.states import (
        FreshStates,
        Predictions,
        SamplingSettings,
        StoredStates,
        TrainingBatch,
        TrainingPrompts,
    )
    from turpentine.erase._training.training import Trained
    from turpentine.models import Model

SETS: Mapping[str, dict[str, Any]] = {
    "x": {"kind": READS_TEXT},
    "x-strict": {"kind": READS_TEXT, "role": ("key", "value")},
    "u": {"kind": ("self-attention", "feed-forward", "resnet", "projection", "sampler")},
    "selfattn": {"kind": "self-attention"},
    "all": {},
}
"""The parameter sets of ESD by name, as selections of layers."""


@dataclass(frozen=True)
class ESD(Sized):
    """Fine-tune the denoiser so that its prediction for the concept becomes one that leads away from it.

    ε̃ = ε*(x_t, ∅) − η·(ε*(x_t, c) − ε*(x_t, ∅)); loss: mean of (ε_θ(x_t, c) − ε̃)² over a batch, minimised by Adam.
    ε* is the frozen model, x_t a partly denoised latent of guided DDIM sampling for the prompt c.

    η is the paper's: 1 mirrors the concept's direction, 0 aims at the empty prompt's prediction. The authors' later
    code writes ε̃ = ε*(x_t, c) − ng·(ε*(x_t, c) − ε*(x_t, ∅)), so that its ng is η + 1: its 2 is the paper's 1.

    With `erase_from` (c_f) an attribute c is erased from something that keeps the rest: x_t is sampled for c_f, the
    model is trained on c_f, and ε̃ = ε*(x_t, c_f) − η·(ε*(x_t, c) − ε*(x_t, ∅)). There the authors' code has η for ng,
    and 2 for it by default, where η here is 1.

    In a model that predicts v, as Stable Diffusion 2 at 768 pixels, public code takes the loss in v, which is that in ε
    divided by ᾱ_t, 70 times as much at t = 901; `loss` has both. ε̃ is the same either way.

    With `captions` other than the concept's own, the model is trained on what a user asks for: c is a caption with the
    concept and more, such as "a church in ink style", and ∅ stands for what the caption says without it, "a picture in
    ink style", so that the style is not led away from.

    Defaults are the published values for Stable Diffusion 1.4, but for `trajectories`: the authors sample x_t from the
    model in training (`fresh`), which costs about 25 guided sampling steps an update; here x_t and ε̃ are drawn from
    stored trajectories of the frozen model. `ESD.preset` has values for other models.

    Args:
        sites: The weights to train: "x" (cross-attention), "x-strict" (its keys and values), "u" (all but it),
            "selfattn", "all", kinds or labels, such as "UP2,UP3", or any selection of the denoiser's sites, also by
            their names.
        eta: How strongly the concept is erased (η).
        steps: Updates of the training.
        lr: Learning rate of Adam.
        batch_size: Rows of an update.
        trajectories: Stored sampling runs for each concept; its prompts take turns. Not used if `fresh`.
        sampling_steps: DDIM steps of a stored run (T).
        guidance_scale: How strongly the prompt guides a stored run (w).
        window: The part of the schedule that x_t is drawn from, as fractions from 0 (pure noise) to 1. A window of the
            sites narrows it further.
        fresh: Sample x_t from the model in training, for each update anew.
        loss: What the loss is the square of: the difference of the network's own "output", ε or v, as in public code;
            or of "eps" in every model, where noisy steps hardly count in one that predicts v.
        erase_from: What the concept is erased from, as a prompt; by default the concept itself is erased.
        captions: "own", the concept's own templates; "named", captions of the embedded world that name it, in styles
            and on backgrounds, spread over the trajectories; "implied", also those that only imply it.
        preserved: Share of an update's rows that keep ε(x_t, ∅) as ε*(x_t, ∅), or that of a caption without
            the concept: what guidance subtracts stays as it was.
        rank: Train ΔW = B·A of this rank for each matrix instead of the weights themselves (LoRA), and no bias or norm;
            Adam then holds two thin matrices for each, which is what large models have memory for. Public code for
            FLUX.1 takes `lr` 1e-4.
        sites_from: A CSV or parquet table of sites with scores, such as an attribution; its top ones replace `sites`.
        top: How many sites of the table are trained.
        seed: Seed of all draws. Update k depends on the seed and k only.

    Example:
        >>> edit = ESD(sites="x-strict", steps=1, trajectories=1, sampling_steps=2)(model, Concept("church"))
        >>> len(edit.names), edit.names[0]
        (32, 'unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight')
    """

    name: ClassVar[str] = "esd"
    revision: ClassVar[str] = "2"

    small_world: ClassVar[Mapping[str, Any]] = {
        "eta": 2.0,
        "captions": "named",
        "trajectories": 24,
        "sampling_steps": 10,
        "steps": 175,
        "batch_size": 8,
        "lr": 1e-3,
    }
    """Settings for models of the embedded one's size: 13 million weights learn faster than Stable Diffusion's 860.

    The denoiser sees as many rows as with 8 trajectories of 20 steps and 200 updates.
    """

    small_world_by: ClassVar[Mapping[str, Mapping[Any, Mapping[str, Any]]]] = {
        "sites": {"u": {"captions": "implied", "preserved": 0.25}}
    }
    """What sees every prompt alike learns the scenes as well, and that the empty prompt stays as it is."""

    published_by: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "StableDiffusionXLPipeline": {"eta": 0.0, "steps": 200, "lr": 2e-4, "guidance_scale": 2.0},
        "FluxPipeline": {"steps": 1400, "lr": 1e-4, "sampling_steps": 28, "guidance_scale": 3.5},
    }
    """Settings of the authors' esd_sdxl.py and esd_flux.py (github.com/rohitgandikota/erasing), as their README has it.

    The first goes without `--negative_guidance`, which is then 1: η 0. Of other sets than x it has the paper's rate.
    """

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {f"esd-{name}": {"sites": name} for name in SETS}
    """The names that papers and the command line use, and what each sets."""

    sites: Selection = "x"
    eta: NonNegative = 1.0
    steps: Count = 1000
    lr: Positive = 1e-5
    batch_size: Count = 1
    trajectories: Count = 20
    sampling_steps: Count = 50
    guidance_scale: Finite = 3.0
    window: tuple[float, float] = (0.0, 1.0)
    fresh: bool = False
    loss: Loss = "output"
    erase_from: Text | None = None
    captions: Captions = "own"
    preserved: Fraction = 0.0
    rank: Count | None = None
    sites_from: str | None = None
    top: Count = 10
    seed: Seed = 0

    @classmethod
    def _published(cls, model: Model | str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        published = super()._published(model, given)
        is_x = str(given.get("sites", cls.sites)) in ("x", "x-strict")
        return published if is_x else {name: value for name, value in published.items() if name != "lr"}

    @torch_mode("inference_mode", False)
    @torch_mode("enable_grad")
    def __call__(
        self,
        model: Model,
        concept: Concepts,
        *,
        progress: Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Edit:
        """Erase one concept, or several in one run.

        The denoiser sees 2·T·n rows for n trajectories of T steps, then `batch_size` rows forward and backward for each
        update; one before, where it is not plain that the memory is enough. The frozen model is the model as it is,
        with the edits on it.

        Args:
            model: The model; it is not changed. Edits on it stay on: the weights are those of the model as it is.
            concept: One concept, or several.
            progress: Called with rows of the denoiser done and in all, a row with its gradient counted three times.
            checkpoint: A folder to save the state in, every 15 seconds and on Ctrl-C. The same call with it goes on to
                the same edit, bit by bit. It stays until `turpentine.core.tensors.discard` removes it.

        Returns:
            The edit.

        Raises:
            BadArgument: A setting is out of range; raised before any work.
            BadWindow: The window is no part of the schedule.
            EmptySelection: The sites hold no weight to train.
            UnknownName: There is no such parameter set or site.
            NoMemory: The training does not fit into the free memory; raised before any work, with what does.
            NotFinite: A gradient is NaN or infinite; the message names the weight and the update.
            KeyboardInterrupt: On Ctrl-C; the message says how to go on.
        """
        from turpentine.edits import Edit
        from turpentine.erase._training.training import TRAINED_ROW, Adam, train

        self._check()
        if self.sites_from is not None:
            return self._located(model)(model, concept, progress=progress, checkpoint=checkpoint)
        concepts = as_concepts(concept, model)
        sampling = self._sampling(model)
        masters = self._masters(model)
        provenance = self._provenance(model, concepts)
        parts = checkpoint_of(checkpoint, model, provenance)
        prompts = self._prompts(concepts)
        predictions = 0 if self.fresh else prompts.predictions
        sampled, update_rows = predictions * self.sampling_steps * len(prompts), TRAINED_ROW * self.batch_size
        tracker = Tracker(progress, sampled + self.steps * update_rows)
        states = self._states(
            model, prompts, sampling, masters, parts, lambda done, total: tracker.reach(predictions * done)
        )
        train(
            Adam(masters, self.lr, model.dtype),
            lambda update: self._loss(model, masters, states.batch(update, self.batch_size)),
            updates=self.steps,
            checkpoint=parts,
            after_update=lambda updates: tracker.reach(sampled + updates * update_rows),
        )
        return Edit(masters.deltas(), provenance)

    def _check(self) -> None:
        """Refuse settings that would be passed over."""
        if self.captions != "own" and (self.fresh or self.erase_from is not None):
            other = "fresh" if self.fresh else "erase_from"
            raise BadArgument(f"{other} is for the concept's own captions: leave it out, or set captions to own.")
        if self.preserved and self.fresh:
            raise BadArgument("preserved is for stored states: leave it out, or leave out fresh.")

    def target(self, start: Predictions, concept: Predictions, uncond: Predictions) -> Predictions:
        """Return ε̃ = start − η·(ε*(x, c) − ε*(x, ∅)); start is ε*(x, ∅), or ε*(x, c_f) with `erase_from`."""
        return start - self.eta * (concept - uncond)

    def _located(self, model: Model) -> ESD:
        """Return the method with the sites that the table puts first; they decide the edit, not its path."""
        from turpentine.models.site_table import top_sites

        assert self.sites_from is not None
        return replace(self, sites=top_sites(model.sites, self.sites_from, self.top), sites_from=None)

    def _loss(self, model: Model, masters: Trained, batch: TrainingBatch) -> Float[Tensor, ""]:
        """Return the mean of (ε_θ(x_t, c) − ε̃)², or that of the network's own outputs, in fp32."""
        predicted = model.followed(batch.x, batch.t, batch.cond, parameters=masters.current())
        return model.rescaled(predicted.float() - batch.target.float(), batch.t, self.loss).square().mean()

    def _prompts(self, concepts: tuple[Concept, ...]) -> TrainingPrompts:
        """Return as many rows for each concept; its prompts take turns."""
        from turpentine.erase._training.states import TrainingPrompts

        # A row of fresh states is a prompt only: as many as give each prompt of a concept its equal share.
        rows = math.lcm(*(len(each.prompts) for each in concepts)) if self.fresh else self.trajectories
        caption_pairs = [pair for each in concepts for pair in self._caption_pairs(each, rows)]
        prompts, rest = tuple(each.caption for each in caption_pairs), tuple(each.rest for each in caption_pairs)
        trained = prompts if self.erase_from is None else (self.erase_from,) * len(prompts)
        return TrainingPrompts(prompts, trained, self.target, is_from=self.erase_from is not None, rest=rest)

    def _caption_pairs(self, concept: Concept, rows: int) -> list[CaptionPair]:
        """Return the captions of a concept's trajectories, each with what it says without the concept."""
        from turpentine.emoji.prompts import CaptionPair, spread

        if self.captions == "own":  # as published, whatever the template says beside the concept
            own = [CaptionPair(prompt, "") for prompt in concept.prompts]
        else:
            own = spread(caption_pairs_of(concept, self.captions), rows)
        return [own[row % len(own)] for row in range(rows)]

    def _states(
        self,
        model: Model,
        prompts: TrainingPrompts,
        sampling: SamplingSettings,
        masters: Trained,
        parts: Parts[Tensors],
        progress: Progress,
    ) -> StoredStates | FreshStates:
        from turpentine.erase._training.states import FreshStates, StoredStates

        if self.fresh:
            return FreshStates(model, prompts, sampling, masters)
        return StoredStates(model, prompts, sampling, parts, progress, preserved=self.preserved)

    def _masters(self, model: Model) -> Trained:
        """Return what is trained: the weights, or factors of their change; of fused layers the chosen rows alone."""
        from turpentine.erase._training.rows import OnlyRows

        sites = self._weights(model)
        weights = {name: model.parameter(name).detach() for name in sites.parameters()}
        rows = sites.slices()
        self._check_fits(model, weights, rows)
        trained = self._trained(model, weights)
        return OnlyRows(trained, weights, rows) if rows else trained

    def _check_fits(self, model: Model, weights: Mapping[str, Tensor], masked: Iterable[str]) -> None:
        """Refuse a training that the free memory is too small for, before anything of it is there."""
        from turpentine.models.training_memory import SMALL_RANK, Training, check_training_fits

        training = Training(weights, self.batch_size, 0, rank=self.rank, masked=frozenset(masked))
        ways: dict[str, Mapping[str, Any]] = {"--batch-size 1": {"rows": 1}} if self.batch_size > 1 else {}
        if self.rank is None and any(weight.ndim > 1 for weight in weights.values()):
            ways[f"--rank {SMALL_RANK}"] = {"rank": SMALL_RANK}
        check_training_fits(model, training, ways)

    def _trained(self, model: Model, weights: Mapping[str, Tensor]) -> Trained:
        from turpentine.edits.low_rank import LowRank
        from turpentine.erase._training.training import Masters

        if self.rank is None:
            return Masters(model, weights)
        matrices = {name: weight for name, weight in weights.items() if weight.ndim > 1}
        if not matrices:
            raise EmptySelection("With a rank, the sites hold no matrix that a LoRA could change: select others.")
        return LowRank(matrices, self.rank, self.seed)

    def _sampling(self, model: Model) -> SamplingSettings:
        """Return the settings that are checked against each other."""
        from turpentine.erase._training.states import SamplingSettings

        steps = window_of(self.window, self.sites).counted(self.sampling_steps)
        return SamplingSettings(self.sampling_steps, self.guidance_scale, steps, self.seed)

    def _weights(self, model: Model) -> Sites:
        sites = esd_sites(model, self.sites)
        if not sites.parameters():
            raise EmptySelection(f"{sites} holds no weight to train: select linear or convolution layers.")
        check_in_denoiser(sites)
        return sites

    def _provenance(self, model: Model, concepts: tuple[Concept, ...]) -> Provenance:
        # The names of sites say nothing of their window, so that it counts as the settings' own.
        return provenance_of(self, model, concepts, window=astuple(window_of(self.window, self.sites)))


def esd_sites(model: Model, sites: Selection) -> Sites:
    """Return a parameter set of ESD by name, as layers of the denoiser; anything else as `models.selected` has it.

    Args:
        model: The model.
        sites: "x": all linears of cross-attention, or of joint attention where there is none. "x-strict": those of the
            text's keys and values. "selfattn": all linears of self-attention. "u": every linear and convolution outside
            attention to the text, the time projections inside the resnets among them, but no norm, no time embedding,
            and neither the first nor the last layer. "all": everything, norms too.

    Raises:
        UnknownName: There is no such set; the message lists the sets and what else there is.
    """
    if isinstance(sites, str) and sites in SETS:
        return model.sites.only(level="layer", component=DENOISER).only(**SETS[sites])
    try:
        return selected(model.sites, sites)
    except EmptySelection as error:
        raise UnknownName(f"ESD has no parameter set {sites!r}: there are {', '.join(SETS)}. {error}") from error
