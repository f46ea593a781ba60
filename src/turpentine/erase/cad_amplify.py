"""CAD-Amplify: zero the few weights that hold a concept down (Nguyen et al. 2024, arXiv 2412.02542)."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from PIL import Image

from turpentine.attribution import Attribution, Objective, attributable
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.core.progress import Progress
from turpentine.edits import Edit
from turpentine.erase._attribution_run import KeptGradients
from turpentine.erase._pruning import Per, check_per, check_share, together, zeroed_by
from turpentine.erase._training.checkpoint import Checkpoint, facts_of
from turpentine.erase._training.draws import draws, noise_seeds
from turpentine.erase._training.meter import TRAINED_ROW
from turpentine.erase.common import Sized, Tally, as_concepts, provenance_of, side_by_side
from turpentine.erase.examples import Source, check_source, digest_of, fitted, from_files, from_model, from_world
from turpentine.models import Model, Selection, check_windowless


@dataclass(frozen=True)
class CADAmplify(Sized):
    """Zero the weights whose loss most helps the model to denoise pictures of a concept, so that it shows it more.

    J = −E‖ε − ε(x_t, c)‖² over noised pictures of the concept c (equation 5). Weight i counts α_i = w_i·∂J/∂w_i, the
    first-order change of J when it is set to 0 (equation 3); those with the most negative α go.
    Each of several concepts is attributed on its own, and what holds any of them down is zeroed.

    Defaults are the published values for Stable Diffusion 1.4: five pictures of each object that a classifier gets
    right, a thousandth of each row. The zeroed positions tell whoever has them which weights held the concept down.

    sites, share, per: as those of CAD; sites with a window are refused, as the points are of the whole schedule.
    images: paths of pictures of the concept. Without any they come from the `source`.
    source: "generated", pictures that the model itself makes of the concept; or "world", sprites of the emoji world on
        backgrounds, as the emoji world draws them, that its judge recognises.
    pictures: of each concept from the source, 1 or more.
    draws: points for each picture, each with noise and a timestep of its own, 1 or more.
    sampling_steps, guidance_scale: of generated pictures.
    batch_size: rows of a call with gradients, 1 or more; it costs memory, and changes the last bits only.
    seed: of pictures and noise, 0 or more.
    """

    name: ClassVar[str] = "cad-amplify"

    small_world: ClassVar[Mapping[str, Any]] = {"source": "world"}
    """Settings for models of the embedded one's size: the emoji world's pictures."""

    sites: Selection = "feed-forward"
    share: float = 0.001
    per: Per = "row"
    images: tuple[str, ...] = ()
    source: Source = "generated"
    pictures: int = 5
    draws: int = 50
    sampling_steps: int = 50
    guidance_scale: float = 7.5
    batch_size: int = 8
    seed: int = 0

    @torch.inference_mode(False)
    def __call__(
        self,
        model: Model,
        concept: Concept | Sequence[Concept],
        *,
        examples: Sequence[Image.Image] = (),
        progress: Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Edit:
        """Amplify one concept, or several; the model itself is left as it is, and the edit is returned.

        For each concept the denoiser sees n rows forward and backward for each of n pictures' `draws`, and what it
        takes to generate pictures. Edits that are on the model stay on. The edit's provenance has, as `found`, J of
        each concept, how far zeroing is predicted to raise it, and the SHA-256 of given pictures.

        examples: pictures of the concept, in the place of `images` and `source`; of any size, cut to the model's own.
        progress: called with rows of the denoiser done and in all, a row with its gradient counted three times.
        checkpoint: as that of CAD.
        Raises BadArgument or EmptySelection for settings before any work, also for a concept that the emoji world does
        not have; NotFinite, naming the weight and the timestep; KeyboardInterrupt, saying how to go on.
        """
        concepts = as_concepts(concept, model)
        self._check(examples, concepts)
        names = attributable(model, self.sites)
        given = fitted(list(examples) or from_files(self.images), model.size)
        shown = digest_of(given)
        facts = {**facts_of(model, provenance_of(self, model, concepts)), "shown": shown}
        tally = Tally(progress, self._rows(len(given)) * len(concepts))
        masks, told = [], []
        for index, one in enumerate(concepts):
            kept = KeptGradients(Checkpoint(checkpoint, facts), index, tally)
            found = self._attribute(model, one, given, names, kept, tally)
            masks.append(zeroed_by({name: -alpha for name, alpha in found.alpha.items()}, self.share, self.per))
            fall = found.predicted({name: zeroed.positions for name, zeroed in masks[-1].items()})
            told.append({"objective": found.value, "predicted_rise": -fall})
        provenance = provenance_of(self, model, concepts, {"shown": shown, **side_by_side(told)})
        return Edit(provenance=provenance, zeroed=together(masks))

    def _attribute(
        self,
        model: Model,
        concept: Concept,
        given: list[Image.Image],
        names: tuple[str, ...],
        kept: KeptGradients,
        tally: Tally,
    ) -> Attribution:
        count = len(given) or self.pictures
        prompts = tuple(concept.prompts[row % len(concept.prompts)] for row in range(count))
        made = self._generated_rows(len(given))

        def make() -> Objective:
            shown = given or fitted(self._pictures(model, concept, prompts), model.size)
            tally.add(made)
            seeds = noise_seeds(draws("updates", self.seed), self.draws)
            return Objective.denoising(model, model.encode_image(shown), prompts, seeds)

        return kept.attribution(model, kept.objective(model, prompts, -1.0, made, make), names, self.batch_size)

    def _pictures(self, model: Model, concept: Concept, prompts: tuple[str, ...]) -> list[Image.Image]:
        if self.source == "world":
            return from_world(concept, len(prompts), self.seed, min(model.size))
        seeds = noise_seeds(draws("trajectories", self.seed), len(prompts))
        return from_model(model, prompts, seeds, self.sampling_steps, self.guidance_scale)

    def _rows(self, given: int) -> int:
        """Rows of the denoiser for one concept, as progress counts them."""
        return self._generated_rows(given) + TRAINED_ROW * self.draws * (given or self.pictures)

    def _generated_rows(self, given: int) -> int:
        return 0 if given or self.source == "world" else 2 * self.sampling_steps * self.pictures

    def _check(self, examples: Sequence[Image.Image], concepts: tuple[Concept, ...]) -> None:
        check_share(self.share)
        check_per(self.per)
        for name in ("pictures", "draws", "sampling_steps", "batch_size"):
            if getattr(self, name) < 1:
                raise BadArgument(f"{name} is {getattr(self, name)}: give 1 or more.")
        if not math.isfinite(self.guidance_scale) or self.seed < 0:
            numbers = f"guidance_scale is {self.guidance_scale} and seed is {self.seed}"
            raise BadArgument(f"{numbers}: give a finite scale, and a seed from 0.")
        check_windowless(self.sites)
        if (examples or self.images) and len(concepts) > 1:
            raise BadArgument(f"The pictures cannot be of all {len(concepts)} concepts: amplify one at a time.")
        if not (examples or self.images):
            check_source(self.source, concepts)
